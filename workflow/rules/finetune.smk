# On several machines the step starts itself on each by srun, which Slurm's executor calls an MPI job: it starts that
# once, outside of srun, in a job with a task and its share of the GPUs on every machine.
SEVERAL_NODES = launch.node_resources(CONFIG.execution)


rule finetuned:
    input:
        train=RESULTS + layout.TRAIN,
        student=lambda wildcards: model_files(
            CONFIG.students[RUNS[wildcards.run].student].model
        ),
    output:
        kept_model(directory(RESULTS + layout.MODEL)),
    log:
        "logs/finetune/{run}.log",
    priority: weight(70, FINETUNE_GPUS)
    conda:
        "../envs/srt.yaml"
    threads: model_threads(FINETUNE_GPUS)
    resources:
        **SEVERAL_NODES,
        gpu=FINETUNE_GPUS,
        how=HOW["finetune"],
    params:
        student=lambda wildcards: student_flags(RUNS[wildcards.run].student),
        weights=lambda wildcards: student_weights(RUNS[wildcards.run].student),
        seed=lambda wildcards: RUNS[wildcards.run].seed,
        settings=lambda wildcards: flags.as_flags(
            CONFIG.recipes[RUNS[wildcards.run].recipe]
        ),
        version=VERSION["finetune"],
    shell:
        "srt finetune {input.train:q} {output:q} {params.student} --seed {params.seed} {params.settings}"
        " {resources.how} > {log:q} 2>&1"
