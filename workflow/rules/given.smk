# What somebody has already made, in the place of the step that would make it.
if CONFIG.given.reflections:

    rule imported_reflections:
        input:
            original=RESULTS + layout.ORIGINAL,
            prepared=RESULTS + meta_of(layout.ORIGINAL),
            source=lambda wildcards: present(
                given_reflections(wildcards).files[wildcards.variant]
            ),
            beside=lambda wildcards: [
                path
                for source in given_beside(wildcards).values()
                for path in present(source)
            ],
        output:
            pairs=RESULTS + layout.REFLECTED,
            meta=RESULTS + meta_of(layout.REFLECTED),
        log:
            "logs/import/{dataset}/{teacher}/{variant}.log",
        benchmark:
            timing("import/{dataset}/{teacher}/{variant}.tsv")
        wildcard_constraints:
            teacher=any_of(CONFIG.given.reflections),
        priority: 100
        localrule: True
        conda:
            "../envs/srt.yaml"
        resources:
            mem_mb=schedule.LIGHT_MB,
        params:
            source=lambda wildcards: given_reflections(wildcards).files[
                wildcards.variant
            ],
            beside=lambda wildcards: assigned("beside", given_beside(wildcards)),
            settings=lambda wildcards: flags.as_flags(given_reflections(wildcards)),
            version=VERSION["import"],
        shell:
            "srt import reflections {params.source:q} {input.original:q} {output.pairs:q} --variant {wildcards.variant:q}"
            " {params.beside} {params.settings} > {log:q} 2>&1"


if CONFIG.given.scores:

    ruleorder: imported_scores > scores

    rule imported_scores:
        input:
            pairs=lambda wildcards: RESULTS + given_scores(wildcards)[1].pairs,
            original=lambda wildcards: RESULTS
            + layout.ORIGINAL.format(dataset=given_scores(wildcards)[1].dataset),
            prepared=lambda wildcards: RESULTS
            + meta_of(layout.ORIGINAL).format(
                dataset=given_scores(wildcards)[1].dataset
            ),
            source=lambda wildcards: present(
                given_scores(wildcards)[0].files[given_scores(wildcards)[1].variant]
            ),
            beside=given_scores_beside,
        output:
            scores=RESULTS + layout.IMPORTED,
            meta=RESULTS + meta_of(layout.IMPORTED),
        log:
            "logs/import/scores/{imported}.log",
        benchmark:
            timing("import/scores/{imported}.tsv")
        wildcard_constraints:
            imported=any_of(IMPORTED_SCORES),
        priority: 91
        localrule: True
        conda:
            "../envs/srt.yaml"
        resources:
            mem_mb=schedule.LIGHT_MB,
        params:
            source=lambda wildcards: given_scores(wildcards)[0].files[
                given_scores(wildcards)[1].variant
            ],
            student=lambda wildcards: given_scores(wildcards)[1].student,
            beside=lambda wildcards: given_scores_beside(wildcards, as_words=True),
            settings=lambda wildcards: flags.as_flags(given_scores(wildcards)[0]),
            version=VERSION["import"],
        shell:
            "srt import scores {params.source:q} {input.pairs:q} {output.scores:q} --original {input.original:q}"
            " --use-student {params.student:q} {params.beside} {params.settings} > {log:q} 2>&1"


if CONFIG.given.train:

    ruleorder: imported_train > selected

    rule imported_train:
        input:
            of_run(EXPERIMENT.selection_files),
            source=lambda wildcards: present(CONFIG.given.train[wildcards.run].source),
        output:
            train=RESULTS + layout.TRAIN,
            ledger=RESULTS + layout.LEDGER,
            meta=RESULTS + meta_of(layout.TRAIN),
        log:
            "logs/import/runs/{run}.log",
        benchmark:
            timing("import/runs/{run}.tsv")
        wildcard_constraints:
            run=any_of(CONFIG.given.train),
        priority: 95
        localrule: True
        conda:
            "../envs/srt.yaml"
        resources:
            mem_mb=schedule.LIGHT_MB,
        params:
            run_dir=lambda wildcards: RESULTS + f"runs/{wildcards.run}",
            source=lambda wildcards: CONFIG.given.train[wildcards.run].source,
            pairs=lambda wildcards: EXPERIMENT.below_results(
                "pairs", layout.pairs_paths(RUNS[wildcards.run], CONFIG.responses)
            ),
            settings=lambda wildcards: flags.as_flags(
                CONFIG.given.train[wildcards.run], without=["source"]
            ),
            version=VERSION["import"],
        shell:
            "srt import train {params.source:q} {params.run_dir:q} {params.pairs} {params.settings} > {log:q} 2>&1"


if CONFIG.given.judgments:
    for key in EVALUATED:
        workflow.ruleorder("replayed", key)

    rule replayed:
        input:
            lambda wildcards: judgment_files(*JUDGED[wildcards.judged]),
        output:
            result=RESULTS + layout.REPLAYED,
            by_question=RESULTS + items_of(layout.REPLAYED),
        log:
            "logs/import/runs/{judged}.log",
        benchmark:
            timing("import/runs/{judged}.tsv")
        wildcard_constraints:
            judged=any_of(JUDGED),
        localrule: True
        conda:
            "../envs/srt.yaml"
        params:
            benchmark=lambda wildcards: judgment_command(*JUDGED[wildcards.judged]),
            judgments=lambda wildcards: judgment_flags(*JUDGED[wildcards.judged]),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate {params.benchmark} {output.result:q} {params.judgments} > {log:q} 2>&1"
