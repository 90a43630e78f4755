rule answers:
    input:
        model=lambda wildcards: run_model_files(wildcards.run),
        questions=lambda wildcards: present(
            CONFIG.questions[wildcards.questions].source
        ),
    output:
        answers=RESULTS + layout.ANSWERS,
        meta=RESULTS + layout.meta_of(layout.ANSWERS),
    log:
        "logs/generate/{run}/{questions}.log",
    benchmark:
        timing("generate/{run}/{questions}.tsv")
    priority: 60
    conda:
        "../envs/srt.yaml"
    threads: model_threads(GPU)
    resources:
        gpu=GPU,
        how=HOW["generate"],
    params:
        questions=lambda wildcards: CONFIG.questions[wildcards.questions].source,
        model=lambda wildcards: run_model_flags(wildcards.run),
        weights=lambda wildcards: run_weights(wildcards.run),
        prompt=evaluation_prompt,
        settings=lambda wildcards: settings.as_flags(
            CONFIG.generate[CONFIG.questions[wildcards.questions].decoding]
        ),
        version=VERSION["generate"],
    shell:
        "srt generate {params.questions:q} {output.answers:q} {params.model} --prompt {params.prompt} {params.settings}"
        " {resources.how} > {log:q} 2>&1"
