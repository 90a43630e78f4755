rule answers:
    input:
        model=lambda wildcards: run_model_files(wildcards.run),
        questions=lambda wildcards: present(questions_of(wildcards)),
    output:
        answers=RESULTS + layout.ANSWERS,
        meta=RESULTS + layout.meta_of(layout.ANSWERS),
    log:
        "logs/generate/{run}/{benchmark}.log",
    wildcard_constraints:
        benchmark="alpaca_eval|pairwise",
    priority: 60
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=GPU,
        how=HOW["generate"],
    params:
        questions=questions_of,
        model=lambda wildcards: run_model_flags(wildcards.run),
        prompt=evaluation_prompt,
        settings=settings.as_flags(CONFIG.generate),
        version=VERSION["generate"],
    shell:
        "srt generate {params.questions} {output.answers} {params.model} --prompt {params.prompt} {params.settings}"
        " {resources.how} > {log} 2>&1"
