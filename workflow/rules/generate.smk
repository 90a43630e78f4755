# A run's model answers all of its questions in one job, so that an engine is started once for all of them. Runs with
# the same sets of questions share a rule: `answers` and, where there are others, `answers_2` and so on.
for number, (sets, runs) in enumerate(layout.answering(CONFIG, RUN_TABLE).items(), 1):

    rule:
        name:
            "answers" if number == 1 else f"answers_{number}"
        input:
            model=of_run(run_model_files),
            questions=[
                path
                for name in sets
                for path in present(CONFIG.questions[name].source)
            ],
        output:
            answers=[answers_of(name) for name in sets],
            meta=[meta_of(answers_of(name)) for name in sets],
        log:
            "logs/generate/{run}.log",
        benchmark:
            timing("generate/{run}.tsv")
        wildcard_constraints:
            run=any_of(runs),
        priority: 60
        conda:
            "../envs/srt.yaml"
        threads: model_threads(GENERATE_GPUS)
        resources:
            gpu=GENERATE_GPUS,
            how=HOW["generate"],
        params:
            questions=of_run(functools.partial(EXPERIMENT.question_flags, sets)),
            model=of_run(run_model_flags),
            weights=of_run(run_weights),
            prompt=of_run(EXPERIMENT.prompt),
            version=VERSION["generate"],
        shell:
            "srt generate {params.questions} {params.model} --prompt {params.prompt} {resources.how} > {log:q} 2>&1"
