# A rule for each benchmark that the config asks for, by the benchmark's own name.
for key in EVALUATED:

    rule:
        name:
            key
        input:
            evaluation_files(key),
            **evaluation_answers(key),
            judge=evaluation_judge(key),
        output:
            result=EVALUATION.replace("{benchmark}", benchmarks()[key].pattern),
            by_question=ITEMS.replace("{benchmark}", benchmarks()[key].pattern),
        log:
            f"logs/evaluate/{{run}}/{benchmarks()[key].pattern}.log",
        benchmark:
            timing(f"evaluate/{{run}}/{benchmarks()[key].pattern}.tsv")
        conda:
            "../envs/srt.yaml"
        threads: evaluation_threads(key)
        resources:
            **evaluation_endpoints(key),
            gpu=evaluation_gpus(key),
            how=HOW["evaluate"] + (SERVERS if benchmarks()[key].is_judged else ""),
        params:
            **evaluation_params(key),
        shell:
            "{params.command} {params.settings} {resources.how} > {log:q} 2>&1"


if CONFIG.evaluate.calibration is not None:

    rule judge_calibration:
        input:
            annotations=[
                path
                for name in CONFIG.evaluate.calibration.annotations
                for path in present(name)
            ],
            judge=lambda wildcards: judge_inputs(
                JUDGE_FILES[wildcards.judge], FORMS[JUDGE_FILES[wildcards.judge]]
            ),
        output:
            result=RESULTS + layout.CALIBRATION,
            by_question=RESULTS + items_of(layout.CALIBRATION),
        log:
            "logs/evaluate/judges/{judge}.log",
        benchmark:
            timing("evaluate/judges/{judge}.tsv")
        conda:
            "../envs/srt.yaml"
        threads: lambda wildcards: judge_threads(JUDGE_FILES[wildcards.judge])
        resources:
            **endpoints(JUDGES_ASKED, lambda wildcards: wildcards.judge),
            gpu=lambda wildcards: judge_gpus(JUDGE_FILES[wildcards.judge]),
            how=HOW["evaluate"] + SERVERS,
        params:
            annotations=lambda wildcards: shlex.join(
                CONFIG.evaluate.calibration.annotations
            ),
            judge=lambda wildcards: JUDGE_FILES[wildcards.judge],
            weights=lambda wildcards: judge_weights(JUDGE_FILES[wildcards.judge]),
            forms=lambda wildcards: " ".join(
                f"--form {form}"
                for form in sorted(FORMS[JUDGE_FILES[wildcards.judge]])
            ),
            settings=verbatim(flags.as_flags(CONFIG.evaluate.calibration)),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate calibrate-judge {params.annotations} {output.result:q} --judge {params.judge:q} {params.forms}"
            " {params.settings} {resources.how} > {log:q} 2>&1"
