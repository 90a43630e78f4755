rule score_shard:
    input:
        pairs=RESULTS + layout.PAIRS,
        student=lambda wildcards: model_files(CONFIG.students[wildcards.student].model),
        texts=present(CONFIG.score.template) + present(CONFIG.score.guess_prompt),
    output:
        scores=temp(RESULTS + SHARD),
        meta=temp(RESULTS + meta_of(SHARD)),
    log:
        "logs/score/{student}/{pairs}.{shard}-of-{shards}.log",
    benchmark:
        timing("score/{student}/{pairs}.{shard}-of-{shards}.tsv")
    priority: weight(90, SCORE_GPUS)
    conda:
        "../envs/srt.yaml"
    threads: model_threads(SCORE_GPUS)
    resources:
        gpu=SCORE_GPUS,
        how=f"{PRECISION} {HOW['score']}",
    params:
        student=lambda wildcards: student_flags(wildcards.student),
        weights=lambda wildcards: student_weights(wildcards.student),
        settings=verbatim(SCORE),
        version=VERSION["score"],
    shell:
        "srt score {input.pairs:q} {output.scores:q} --shard {wildcards.shard:q}/{wildcards.shards:q}"
        " {params.student} {params.settings} {resources.how} > {log:q} 2>&1"


rule scores:
    input:
        pairs=RESULTS + layout.PAIRS,
        shards=shards_of,
        metas=lambda wildcards: [meta_of(path) for path in shards_of(wildcards)],
    output:
        scores=RESULTS + SCORES,
        meta=RESULTS + meta_of(SCORES),
    log:
        "logs/score/{student}/{pairs}.log",
    benchmark:
        timing("score/{student}/{pairs}.tsv")
    priority: 91
    localrule: True
    conda:
        "../envs/srt.yaml"
    resources:
        mem_mb=schedule.LIGHT_MB,
    params:
        student=lambda wildcards: student_flags(wildcards.student),
        weights=lambda wildcards: student_weights(wildcards.student),
        settings=verbatim(SCORE),
        version=VERSION["score"],
    shell:
        "srt gather {input.pairs:q} {output.scores:q} {input.shards:q} > {log:q} 2>&1"


rule coherence:
    input:
        pairs=RESULTS + layout.PAIRS,
        model=lambda wildcards: model_files(EXPERIMENT.embedding(wildcards.student)),
    output:
        coherence=RESULTS + layout.coherence_of(layout.PAIRS),
        meta=RESULTS + meta_of(layout.coherence_of(layout.PAIRS)),
    log:
        "logs/coherence/{student}/{pairs}.log",
    benchmark:
        timing("coherence/{student}/{pairs}.tsv")
    priority: 90
    conda:
        "../envs/srt.yaml"
    threads: model_threads(GPU)
    resources:
        gpu=GPU,
        how=HOW["coherence"],
    params:
        student=lambda wildcards: student_flags(wildcards.student),
        weights=lambda wildcards: weights(EXPERIMENT.embedding(wildcards.student)),
        settings=verbatim(flags.as_flags(CONFIG.coherence)),
        version=VERSION["coherence"],
    shell:
        "srt coherence {input.pairs:q} {output.coherence:q} {params.student} {params.settings}"
        " {resources.how} > {log:q} 2>&1"
