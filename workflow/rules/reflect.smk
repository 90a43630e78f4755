rule reflected:
    input:
        pairs=unreflected,
        teacher=lambda wildcards: inputs.teacher_files(EXPERIMENT, wildcards.teacher),
    output:
        pairs=RESULTS + layout.REFLECTED,
        meta=RESULTS + meta_of(layout.REFLECTED),
    log:
        "logs/reflect/{dataset}/{teacher}/{variant}.log",
    benchmark:
        timing("reflect/{dataset}/{teacher}/{variant}.tsv")
    priority: reflection_priority
    conda:
        "../envs/srt.yaml"
    threads: teacher_threads
    resources:
        **endpoints(TEACHERS_ASKED, lambda wildcards: wildcards.teacher),
        gpu=teacher_gpus,
        how=HOW["reflect"] + SERVERS + PRICES,
    params:
        settings=lambda wildcards: flags.as_flags(CONFIG.teachers[wildcards.teacher]),
        weights=lambda wildcards: inputs.teacher_weights(EXPERIMENT, wildcards.teacher),
        version=VERSION["reflect"],
    shell:
        "srt reflect {input.pairs:q} {output.pairs:q} --variant {wildcards.variant:q} {params.settings}"
        " --use-teacher {wildcards.teacher:q} {resources.how} > {log:q} 2>&1"


# The plan `selected`: only the winners of phase 1 get their response reflected, for one student.
rule reflected_winners:
    input:
        pairs=unreflected,
        teacher=lambda wildcards: inputs.teacher_files(EXPERIMENT, wildcards.teacher),
        original=RESULTS + layout.scores_of(layout.ORIGINAL),
        instruction=RESULTS
        + layout.scores_of(layout.REFLECTED).replace("{variant}", "instruction"),
    output:
        pairs=RESULTS + layout.REFLECTED_FOR_STUDENT,
        meta=RESULTS + meta_of(layout.REFLECTED_FOR_STUDENT),
    log:
        "logs/reflect/{dataset}/{teacher}/{student}/{variant}.log",
    benchmark:
        timing("reflect/{dataset}/{teacher}/{student}/{variant}.tsv")
    priority: reflection_priority
    conda:
        "../envs/srt.yaml"
    threads: teacher_threads
    resources:
        **endpoints(TEACHERS_ASKED, lambda wildcards: wildcards.teacher),
        gpu=teacher_gpus,
        how=HOW["reflect"] + SERVERS + PRICES,
    params:
        settings=lambda wildcards: flags.as_flags(CONFIG.teachers[wildcards.teacher]),
        weights=lambda wildcards: inputs.teacher_weights(EXPERIMENT, wildcards.teacher),
        version=VERSION["reflect"],
    shell:
        "srt reflect {input.pairs:q} {output.pairs:q} --variant {wildcards.variant:q} {params.settings}"
        " --scores original={input.original:q} --scores instruction={input.instruction:q}"
        " --use-teacher {wildcards.teacher:q} {resources.how} > {log:q} 2>&1"
