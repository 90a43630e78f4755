def questions_of(wildcards):
    return getattr(CONFIG.evaluate, wildcards.benchmark).questions


def evaluation_prompt(wildcards):
    """A trained model is asked as it was trained, an untuned one as its entry under `students:` says."""
    run = RUNS[wildcards.run]
    return CONFIG.students[run.student].prompt if run.method == "none" else CONFIG.recipes[run.recipe].prompt


rule answers:
    input:
        model=lambda wildcards: run_model_files(wildcards.run),
        questions=lambda wildcards: present(questions_of(wildcards)),
    output:
        answers=RESULTS + layout.ANSWERS,
        meta=RESULTS + layout.meta_of(layout.ANSWERS),
    wildcard_constraints:
        benchmark="alpaca_eval|pairwise",
    params:
        questions=questions_of,
        model=lambda wildcards: run_model_flags(wildcards.run),
        prompt=evaluation_prompt,
        settings=settings.as_flags(CONFIG.generate),
        version=VERSION["generate"],
    log:
        "logs/generate/{run}/{benchmark}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    shell:
        "srt generate {params.questions} {output.answers} {params.model} --prompt {params.prompt} {params.settings}"
        " {EXECUTION[generate]} {CACHE} 2> {log}"
