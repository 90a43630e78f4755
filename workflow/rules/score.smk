rule scores:
    input:
        pairs=RESULTS + "data/{pairs}.jsonl",
        student=lambda wildcards: model_files(CONFIG.students[wildcards.student].model),
        texts=present(CONFIG.score.template) + present(CONFIG.score.guess_prompt),
    output:
        scores=RESULTS + "scores/{student}/{pairs}.jsonl",
        meta=RESULTS + "scores/{student}/{pairs}.meta.json",
    params:
        student=lambda wildcards: student_flags(wildcards.student),
        settings=settings.as_flags(CONFIG.score),
        version=VERSION["score"],
    log:
        "logs/score/{student}/{pairs}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    shell:
        "srt score {input.pairs} {output.scores} {params.student} {params.settings}"
        " {EXECUTION[score]} {CACHE} 2> {log}"


rule coherence:
    input:
        pairs=RESULTS + "data/{pairs}.jsonl",
        student=lambda wildcards: model_files(CONFIG.students[wildcards.student].model),
    output:
        coherence=RESULTS + "coherence/{student}/{pairs}.jsonl",
        meta=RESULTS + "coherence/{student}/{pairs}.meta.json",
    params:
        student=lambda wildcards: student_flags(wildcards.student),
        settings=settings.as_flags(CONFIG.coherence),
        version=VERSION["coherence"],
    log:
        "logs/coherence/{student}/{pairs}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    shell:
        "srt coherence {input.pairs} {output.coherence} {params.student} {params.settings}"
        " {EXECUTION[coherence]} 2> {log}"
