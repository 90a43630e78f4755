rule finetuned:
    input:
        train=RESULTS + layout.TRAIN,
        student=lambda wildcards: model_files(
            CONFIG.students[RUNS[wildcards.run].student].model
        ),
    output:
        directory(RESULTS + layout.MODEL),
    log:
        "logs/finetune/{run}.log",
    priority: 70
    conda:
        "../../environment.yml"
    threads: CORES
    resources:
        gpu=GPU,
        how=HOW["finetune"],
        launcher=LAUNCHER,
    params:
        student=lambda wildcards: student_flags(RUNS[wildcards.run].student),
        seed=lambda wildcards: RUNS[wildcards.run].seed,
        settings=lambda wildcards: settings.as_flags(
            CONFIG.recipes[RUNS[wildcards.run].recipe]
        ),
        version=VERSION["finetune"],
    shell:
        "{resources.launcher} finetune {input.train} {output} {params.student} --seed {params.seed} {params.settings}"
        " {resources.how} > {log} 2>&1"
