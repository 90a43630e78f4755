rule scores:
    input:
        pairs=RESULTS + layout.PAIRS,
        student=lambda wildcards: model_files(CONFIG.students[wildcards.student].model),
        texts=present(CONFIG.score.template) + present(CONFIG.score.guess_prompt),
    output:
        scores=RESULTS + layout.scores_of(layout.PAIRS),
        meta=RESULTS + layout.meta_of(layout.scores_of(layout.PAIRS)),
    log:
        "logs/score/{student}/{pairs}.log",
    priority: 90
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=GPU,
        how=HOW["score"],
    params:
        student=lambda wildcards: student_flags(wildcards.student),
        settings=settings.as_flags(CONFIG.score),
        version=VERSION["score"],
    shell:
        "srt score {input.pairs} {output.scores} {params.student} {params.settings}"
        " {resources.how} > {log} 2>&1"


rule coherence:
    input:
        pairs=RESULTS + layout.PAIRS,
        student=lambda wildcards: model_files(CONFIG.students[wildcards.student].model),
    output:
        coherence=RESULTS + layout.coherence_of(layout.PAIRS),
        meta=RESULTS + layout.meta_of(layout.coherence_of(layout.PAIRS)),
    log:
        "logs/coherence/{student}/{pairs}.log",
    priority: 90
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=GPU,
        how=HOW["coherence"],
    params:
        student=lambda wildcards: student_flags(wildcards.student),
        settings=settings.as_flags(CONFIG.coherence),
        version=VERSION["coherence"],
    shell:
        "srt coherence {input.pairs} {output.coherence} {params.student} {params.settings}"
        " {resources.how} > {log} 2>&1"
