ANSWERS = RESULTS + layout.ANSWERS
EVALUATION = RESULTS + layout.EVALUATION
ITEMS = RESULTS + items_of(layout.EVALUATION)

if CONFIG.evaluate.alpaca_eval is not None:

    rule alpaca_eval:
        input:
            answers=ANSWERS.replace("{questions}", ALPACA_EVAL),
            reference=present(CONFIG.evaluate.alpaca_eval.reference),
            difficulty=present(CONFIG.evaluate.alpaca_eval.length_controlled or ""),
            judge=judge_inputs(CONFIG.evaluate.alpaca_eval.judge, ["alpaca_eval"]),
        output:
            result=EVALUATION.replace("{benchmark}", "alpaca_eval"),
            by_question=ITEMS.replace("{benchmark}", "alpaca_eval"),
        log:
            "logs/evaluate/{run}/alpaca_eval.log",
        benchmark:
            timing("evaluate/{run}/alpaca_eval.tsv")
        conda:
            "../envs/srt.yaml"
        threads: judge_threads(CONFIG.evaluate.alpaca_eval.judge)
        resources:
            **judge_endpoint(CONFIG.evaluate.alpaca_eval.judge),
            gpu=judge_gpus(CONFIG.evaluate.alpaca_eval.judge),
            how=HOW["evaluate"] + SERVERS,
        params:
            settings=verbatim(flags.as_flags(CONFIG.evaluate.alpaca_eval)),
            weights=verbatim(judge_weights(CONFIG.evaluate.alpaca_eval.judge)),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate alpaca-eval {input.answers:q} {output.result:q} {params.settings}"
            " {resources.how} > {log:q} 2>&1"


if CONFIG.evaluate.alpaca_eval_2 is not None:

    rule alpaca_eval_2:
        input:
            answers=ANSWERS.replace("{questions}", ALPACA_EVAL),
            reference=present(CONFIG.evaluate.alpaca_eval_2.reference),
            difficulty=present(CONFIG.evaluate.alpaca_eval_2.length_controlled or ""),
            judge=judge_inputs(CONFIG.evaluate.alpaca_eval_2.judge, ["alpaca_eval"]),
        output:
            result=EVALUATION.replace("{benchmark}", "alpaca_eval_2"),
            by_question=ITEMS.replace("{benchmark}", "alpaca_eval_2"),
        log:
            "logs/evaluate/{run}/alpaca_eval_2.log",
        benchmark:
            timing("evaluate/{run}/alpaca_eval_2.tsv")
        conda:
            "../envs/srt.yaml"
        threads: judge_threads(CONFIG.evaluate.alpaca_eval_2.judge)
        resources:
            **judge_endpoint(CONFIG.evaluate.alpaca_eval_2.judge),
            gpu=judge_gpus(CONFIG.evaluate.alpaca_eval_2.judge),
            how=HOW["evaluate"] + SERVERS,
        params:
            settings=verbatim(flags.as_flags(CONFIG.evaluate.alpaca_eval_2)),
            weights=verbatim(judge_weights(CONFIG.evaluate.alpaca_eval_2.judge)),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate alpaca-eval {input.answers:q} {output.result:q} {params.settings}"
            " {resources.how} > {log:q} 2>&1"


if CONFIG.evaluate.open_llm:

    rule open_llm:
        input:
            model=lambda wildcards: run_model_files(wildcards.run),
            suite=lambda wildcards: present(
                CONFIG.evaluate.open_llm[wildcards.profile].suite
            ),
            data=lambda wildcards: present(
                CONFIG.evaluate.open_llm[wildcards.profile].data or ""
            ),
        output:
            result=EVALUATION.replace("{benchmark}", layout.open_llm("{profile}")),
            by_question=ITEMS.replace("{benchmark}", layout.open_llm("{profile}")),
        log:
            "logs/evaluate/{run}/open_llm_{profile}.log",
        benchmark:
            timing("evaluate/{run}/open_llm_{profile}.tsv")
        conda:
            "../envs/srt.yaml"
        threads: model_threads(GENERATE_GPUS)
        resources:
            gpu=GENERATE_GPUS,
            how=HOW["evaluate"],
        params:
            model=lambda wildcards: run_model_flags(wildcards.run),
            weights=lambda wildcards: run_weights(wildcards.run),
            settings=lambda wildcards: flags.as_flags(
                CONFIG.evaluate.open_llm[wildcards.profile]
            ),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate open-llm {output.result:q} --use-profile {wildcards.profile:q} {params.model} {params.settings}"
            " {resources.how} > {log:q} 2>&1"


if CONFIG.evaluate.pairwise is not None:

    rule pairwise:
        input:
            answers=ANSWERS,
            opponent=ANSWERS.replace("{run}", "{opponent}"),
            questions=lambda wildcards: present(
                CONFIG.questions[wildcards.questions].source
            ),
            judge=judge_inputs(CONFIG.evaluate.pairwise.judge, ["pairwise"]),
        output:
            result=EVALUATION.replace("{benchmark}", "pairwise_{questions}_{opponent}"),
            by_question=ITEMS.replace("{benchmark}", "pairwise_{questions}_{opponent}"),
        log:
            "logs/evaluate/{run}/pairwise_{questions}_{opponent}.log",
        benchmark:
            timing("evaluate/{run}/pairwise_{questions}_{opponent}.tsv")
        conda:
            "../envs/srt.yaml"
        threads: judge_threads(CONFIG.evaluate.pairwise.judge)
        resources:
            **judge_endpoint(CONFIG.evaluate.pairwise.judge),
            gpu=judge_gpus(CONFIG.evaluate.pairwise.judge),
            how=HOW["evaluate"] + SERVERS,
        params:
            questions=lambda wildcards: CONFIG.questions[wildcards.questions].source,
            settings=verbatim(flags.as_flags(CONFIG.evaluate.pairwise)),
            weights=verbatim(judge_weights(CONFIG.evaluate.pairwise.judge)),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate pairwise {input.answers:q} {input.opponent:q} {output.result:q} --questions {params.questions:q}"
            " {params.settings}"
            " {resources.how} > {log:q} 2>&1"


if CONFIG.evaluate.mt_bench is not None:

    rule mt_bench:
        input:
            answers=ANSWERS.replace("{questions}", MT_BENCH),
            questions=present(CONFIG.questions[MT_BENCH].source),
            judge=judge_inputs(CONFIG.evaluate.mt_bench.judge, ["mt_bench"]),
        output:
            result=EVALUATION.replace("{benchmark}", "mt_bench"),
            by_question=ITEMS.replace("{benchmark}", "mt_bench"),
        log:
            "logs/evaluate/{run}/mt_bench.log",
        benchmark:
            timing("evaluate/{run}/mt_bench.tsv")
        conda:
            "../envs/srt.yaml"
        threads: judge_threads(CONFIG.evaluate.mt_bench.judge)
        resources:
            **judge_endpoint(CONFIG.evaluate.mt_bench.judge),
            gpu=judge_gpus(CONFIG.evaluate.mt_bench.judge),
            how=HOW["evaluate"] + SERVERS,
        params:
            questions=verbatim(CONFIG.questions[MT_BENCH].source),
            settings=verbatim(flags.as_flags(CONFIG.evaluate.mt_bench)),
            weights=verbatim(judge_weights(CONFIG.evaluate.mt_bench.judge)),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate mt-bench {input.answers:q} {output.result:q} --questions {params.questions:q} {params.settings}"
            " {resources.how} > {log:q} 2>&1"


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
