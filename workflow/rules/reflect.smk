# What the teacher is asked with, and how it is reached: shared by the rules below.
def teacher_settings(wildcards):
    return settings.as_flags(CONFIG.teachers[wildcards.teacher])


def teacher_files(wildcards):
    teacher = CONFIG.teachers[wildcards.teacher]
    files = [] if teacher.backend == "endpoint" else model_files(teacher.model)
    return [*files, *present(teacher.prompts)]


def teacher_gpus(wildcards):
    return 0 if CONFIG.teachers[wildcards.teacher].backend == "endpoint" else 1


def unreflected(wildcards):
    """What a variant is made from: `both` reflects the response of the instruction-reflected pairs."""
    if wildcards.variant == "both":
        return RESULTS + layout.REFLECTED.format(**{**wildcards, "variant": "instruction"})
    return RESULTS + layout.ORIGINAL.format(**wildcards)


rule reflected:
    input:
        pairs=unreflected,
        teacher=teacher_files,
    output:
        pairs=RESULTS + layout.REFLECTED,
        meta=RESULTS + layout.meta_of(layout.REFLECTED),
    params:
        settings=teacher_settings,
        version=VERSION["reflect"],
    log:
        "logs/reflect/{dataset}/{teacher}/{variant}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=teacher_gpus,
    shell:
        "srt reflect {input.pairs} {output.pairs} --variant {wildcards.variant} {params.settings}"
        " --use-teacher {wildcards.teacher} {EXECUTION[reflect]} {ENDPOINTS} {CACHE} 2> {log}"


# The plan `selected`: only the winners of phase 1 get their response reflected, for one student.
rule reflected_winners:
    input:
        pairs=unreflected,
        teacher=teacher_files,
        original=RESULTS + layout.scores_of(layout.ORIGINAL),
        instruction=RESULTS
        + layout.scores_of(layout.REFLECTED).replace("{variant}", "instruction"),
    output:
        pairs=RESULTS + layout.REFLECTED_FOR_STUDENT,
        meta=RESULTS + layout.meta_of(layout.REFLECTED_FOR_STUDENT),
    params:
        settings=teacher_settings,
        version=VERSION["reflect"],
    log:
        "logs/reflect/{dataset}/{teacher}/{student}/{variant}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=teacher_gpus,
    shell:
        "srt reflect {input.pairs} {output.pairs} --variant {wildcards.variant} {params.settings}"
        " --scores original={input.original} --scores instruction={input.instruction}"
        " --use-teacher {wildcards.teacher} {EXECUTION[reflect]} {ENDPOINTS} {CACHE} 2> {log}"
