ANSWERS = RESULTS + layout.ANSWERS
EVALUATION = RESULTS + layout.EVALUATION
ITEMS = RESULTS + layout.items_of(layout.EVALUATION)

if CONFIG.evaluate.alpaca_eval is not None:

    rule alpaca_eval:
        input:
            answers=ANSWERS.replace("{benchmark}", "alpaca_eval"),
            questions=present(CONFIG.evaluate.alpaca_eval.questions),
            annotator=present(CONFIG.evaluate.alpaca_eval.annotator),
            judge=(
                model_files(judge_of("alpaca_eval").model)
                if judge_of("alpaca_eval").serve
                else []
            ),
        output:
            result=EVALUATION.replace("{benchmark}", "alpaca_eval"),
            by_question=ITEMS.replace("{benchmark}", "alpaca_eval"),
        log:
            "logs/evaluate/{run}/alpaca_eval.log",
        conda:
            "../../environment.yml"
        threads: CORES
        resources:
            gpu=GPU if judge_of("alpaca_eval").serve else 0,
            how=HOW["evaluate"] + SERVERS,
        params:
            settings=settings.as_flags(CONFIG.evaluate.alpaca_eval),
            judge=settings.as_flags(judge_of("alpaca_eval"), prefix="judge-"),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate alpaca-eval {input.answers} {output.result} {params.settings} {params.judge}"
            " {resources.how} > {log} 2>&1"


if CONFIG.evaluate.open_llm:

    rule open_llm:
        input:
            model=lambda wildcards: run_model_files(wildcards.run),
            suite=lambda wildcards: present(
                CONFIG.evaluate.open_llm[wildcards.profile].suite
            ),
        output:
            result=EVALUATION.replace("{benchmark}", layout.open_llm("{profile}")),
            by_question=ITEMS.replace("{benchmark}", layout.open_llm("{profile}")),
        log:
            "logs/evaluate/{run}/open_llm_{profile}.log",
        conda:
            "../../environment.yml"
        threads: CORES
        resources:
            gpu=GPU,
            how=HOW["evaluate"],
        params:
            model=lambda wildcards: run_model_flags(wildcards.run),
            settings=lambda wildcards: settings.as_flags(
                CONFIG.evaluate.open_llm[wildcards.profile]
            ),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate open-llm {output.result} --use-profile {wildcards.profile} {params.model} {params.settings}"
            " {resources.how} > {log} 2>&1"


if CONFIG.evaluate.pairwise is not None:

    rule pairwise:
        input:
            answers=ANSWERS.replace("{benchmark}", "pairwise"),
            opponent=ANSWERS.replace("{benchmark}", "pairwise").replace(
                "{run}", "{opponent}"
            ),
            questions=present(CONFIG.evaluate.pairwise.questions),
            prompt=present(CONFIG.evaluate.pairwise.prompt),
            judge=(
                model_files(judge_of("pairwise").model)
                if judge_of("pairwise").serve
                else []
            ),
        output:
            result=EVALUATION.replace("{benchmark}", "pairwise_{opponent}"),
            by_question=ITEMS.replace("{benchmark}", "pairwise_{opponent}"),
        log:
            "logs/evaluate/{run}/pairwise_{opponent}.log",
        conda:
            "../../environment.yml"
        threads: CORES
        resources:
            gpu=GPU if judge_of("pairwise").serve else 0,
            how=HOW["evaluate"] + SERVERS,
        params:
            settings=settings.as_flags(CONFIG.evaluate.pairwise),
            judge=settings.as_flags(judge_of("pairwise"), prefix="judge-"),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate pairwise {input.answers} {input.opponent} {output.result} {params.settings} {params.judge}"
            " {resources.how} > {log} 2>&1"
