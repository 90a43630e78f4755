rule rescored:
    input:
        of_run(EXPERIMENT.selection_files),
        student=lambda wildcards: model_files(
            CONFIG.students[RUNS[wildcards.run].scored_by].model
        ),
        texts=present(CONFIG.score.template) + present(CONFIG.score.guess_prompt),
    output:
        rescored=RESULTS + layout.RESCORED,
        meta=RESULTS + meta_of(layout.RESCORED),
    log:
        "logs/score/{run}.rescored.log",
    benchmark:
        timing("score/{run}.rescored.tsv")
    priority: weight(92, SCORE_GPUS)
    conda:
        "../envs/srt.yaml"
    threads: model_threads(SCORE_GPUS)
    resources:
        gpu=SCORE_GPUS,
        how=lambda wildcards: f"{EXPERIMENT.selection_rest(wildcards.run)} {PRECISION} {HOW['rescore']}",
    params:
        choice=of_run(EXPERIMENT.selection_flags),
        student=lambda wildcards: student_flags(RUNS[wildcards.run].scored_by),
        weights=lambda wildcards: student_weights(RUNS[wildcards.run].scored_by),
        settings=lambda wildcards: f"{EXPERIMENT.selection_settings(wildcards.run)} {SCORE}",
        version=VERSION["score"],
    shell:
        "srt rescore {output.rescored:q} {params.choice} {params.student} {params.settings}"
        " {resources.how} > {log:q} 2>&1"


rule agreement:
    input:
        of_run(EXPERIMENT.selection_files),
        student=lambda wildcards: model_files(
            CONFIG.students[RUNS[wildcards.run].student].model
        ),
        texts=present(CONFIG.score.template) + present(CONFIG.score.guess_prompt),
    output:
        RESULTS + layout.AGREEMENT,
    log:
        "logs/score/{run}.agreement.log",
    benchmark:
        timing("score/{run}.agreement.tsv")
    priority: weight(92, SCORE_GPUS)
    conda:
        "../envs/srt.yaml"
    threads: model_threads(SCORE_GPUS)
    resources:
        gpu=SCORE_GPUS,
        how=lambda wildcards: f"{EXPERIMENT.selection_rest(wildcards.run, 'proxy_sample')} {PRECISION} {HOW['agreement']}",
    params:
        choice=of_run(EXPERIMENT.selection_flags),
        student=lambda wildcards: student_flags(RUNS[wildcards.run].student),
        weights=lambda wildcards: student_weights(RUNS[wildcards.run].student),
        settings=lambda wildcards: (
            f"{EXPERIMENT.selection_settings(wildcards.run, 'proxy_sample')} {SCORE}"
        ),
        version=VERSION["score"],
    shell:
        "srt agreement {output:q} {params.choice} {params.student} {params.settings}"
        " {resources.how} > {log:q} 2>&1"


rule selected:
    input:
        of_run(EXPERIMENT.selection_files),
        rescored=of_run(EXPERIMENT.rescored),
        agreement=ancient(of_run(EXPERIMENT.agreement)),  # to be read before; it decides nothing
    output:
        train=RESULTS + layout.TRAIN,
        ledger=RESULTS + layout.LEDGER,
    log:
        "logs/selection/{run}.log",
    benchmark:
        timing("selection/{run}.tsv")
    priority: 95
    conda:
        "../envs/srt.yaml"
    resources:
        mem_mb=schedule.LIGHT_MB,
        how=of_run(EXPERIMENT.selection_rest),
    params:
        run_dir=lambda wildcards: RESULTS + f"runs/{wildcards.run}",
        choice=of_run(EXPERIMENT.selection_flags),
        settings=of_run(EXPERIMENT.selection_settings),
        rescored=lambda wildcards, input: (
            flags.flag("rescored", input.rescored[0]) if input.rescored else ""
        ),
        version=VERSION["selection"],
    shell:
        "srt selection {params.run_dir:q} {params.choice} {params.settings} {params.rescored}"
        " {resources.how} > {log:q} 2>&1"
