rule demo_model:
    output:
        [f"{DEMO_MODEL}/{name}" for name in DEMO_MODEL_FILES],
    log:
        "logs/demo_model.log",
    priority: 110
    localrule: True
    conda:
        "../envs/srt.yaml"
    params:
        folder=lambda wildcards: DEMO_MODEL,
    shell:
        "srt demo-model {params.folder:q} > {log:q} 2>&1"


rule original:
    input:
        lambda wildcards: present(CONFIG.datasets[wildcards.dataset].source),
    output:
        pairs=RESULTS + layout.ORIGINAL,
        meta=RESULTS + meta_of(layout.ORIGINAL),
    log:
        "logs/prepare/{dataset}.log",
    benchmark:
        timing("prepare/{dataset}.tsv")
    priority: 110
    localrule: True
    conda:
        "../envs/srt.yaml"
    resources:
        mem_mb=schedule.LIGHT_MB,
    params:
        source=lambda wildcards: CONFIG.datasets[wildcards.dataset].source,
        settings=lambda wildcards: flags.as_flags(
            CONFIG.datasets[wildcards.dataset], without=["source"]
        ),
        version=VERSION["prepare"],
    shell:
        "srt prepare {params.source:q} {output.pairs:q} {params.settings} > {log:q} 2>&1"
