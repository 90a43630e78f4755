rule tables:
    input:
        files=report_files(),
        runs=CONFIG.run_table,
    output:
        expand(RESULTS + layout.TABLE, table=layout.tables(), ext=["csv", "md", "tex"]),
    log:
        "logs/report/tables.log",
    localrule: True
    conda:
        "../envs/srt.yaml"
    params:
        results=verbatim(CONFIG.results),
        flags=verbatim(REPORT_FLAGS),
        version=VERSION["report"],
    shell:
        "srt report tables {params.results:q} --out {params.results:q} {params.flags} > {log:q} 2>&1"


rule figure:
    input:
        notebook="notebooks/{figure}.ipynb",
        tables=expand(RESULTS + layout.TABLE, table=layout.tables(), ext="csv"),
        runs=CONFIG.run_table,
    output:
        figures=expand(RESULTS + layout.FIGURE, ext=["pdf", "png"], allow_missing=True),
        notebook=RESULTS + layout.NOTEBOOK,
    log:
        "logs/report/{figure}.log",
    localrule: True
    conda:
        "../envs/srt.yaml"
    params:
        parameters=verbatim(NOTEBOOK_FLAGS),
        version=VERSION["report"],
    shell:
        "papermill --no-progress-bar -k python3 {input.notebook:q} {output.notebook:q} {params.parameters} > {log:q} 2>&1"


rule html:
    input:
        tables=expand(
            RESULTS + layout.TABLE, table=layout.tables(), ext=["csv", "md", "tex"]
        ),
        figures=expand(
            RESULTS + layout.FIGURE, figure=layout.FIGURES, ext=["pdf", "png"]
        ),
    output:
        RESULTS + layout.REPORT,
    log:
        "logs/report/html.log",
    localrule: True
    conda:
        "../envs/srt.yaml"
    resources:
        how=SHOWN,  # shown; its path decides nothing
    params:
        results=verbatim(CONFIG.results),
        flags=verbatim(REPORT_FLAGS),
        notice=verbatim(NOTICE),
        version=VERSION["report"],
    shell:
        "srt report html {params.results:q} --out {params.results:q} {params.flags} {params.notice}"
        " {resources.how} > {log:q} 2>&1"


rule data_card:
    input:
        RESULTS + layout.TRAIN,
        RESULTS + layout.LEDGER,
        RESULTS + layout.REPORT,
    output:
        RESULTS + layout.DATA_CARD,
    log:
        "logs/report/{run}.data_card.log",
    localrule: True
    conda:
        "../envs/srt.yaml"
    params:
        results=verbatim(CONFIG.results),
        flags=verbatim(CARD_FLAGS),
        version=VERSION["report"],
    shell:
        "srt report cards {params.results:q} --out {params.results:q} {params.flags} --kind data --only {wildcards.run:q}"
        " > {log:q} 2>&1"


rule model_card:
    input:
        RESULTS + layout.MODEL,
        RESULTS + layout.REPORT,
    output:
        RESULTS + layout.MODEL_CARD,
    log:
        "logs/report/{run}.model_card.log",
    localrule: True
    conda:
        "../envs/srt.yaml"
    params:
        results=verbatim(CONFIG.results),
        flags=verbatim(CARD_FLAGS),
        version=VERSION["report"],
    shell:
        "srt report cards {params.results:q} --out {params.results:q} {params.flags} --kind model --only {wildcards.run:q}"
        " > {log:q} 2>&1"


# The same from whatever is there: `snakemake table_open_llm`, `figure_pairwise`, `so_far`. They wait for no run and
# start none; what has not been run is listed. Nothing is declared, so that they are made each time they are asked for,
# and they are written into a folder of their own, so that no rule above takes them for what it makes.
for target, table in {
    **{name: name for name in layout.tables()},
    **layout.TABLE_NUMBERS,
}.items():

    rule:
        name:
            f"table_{target}"
        log:
            f"logs/report/table_{target}.log",
        localrule: True
        conda:
            "../envs/srt.yaml"
        params:
            results=verbatim(CONFIG.results),
            flags=verbatim(REPORT_FLAGS),
            only=table,
        shell:
            "srt report tables {params.results:q} {params.flags} --only {params.only} > {log:q} 2>&1"


for figure in layout.FIGURES:

    rule:
        name:
            f"figure_{figure}"
        log:
            f"logs/report/figure_{figure}.log",
        localrule: True
        conda:
            "../envs/srt.yaml"
        params:
            results=verbatim(CONFIG.results),
            flags=verbatim(REPORT_FLAGS),
            only=figure,
        shell:
            "srt report figures {params.results:q} {params.flags} --only {params.only} > {log:q} 2>&1"


rule so_far:
    log:
        "logs/report/so_far.log",
    localrule: True
    conda:
        "../envs/srt.yaml"
    resources:
        how=SHOWN,
    params:
        results=verbatim(CONFIG.results),
        flags=verbatim(REPORT_FLAGS),
        notice=verbatim(NOTICE),
        cards=verbatim(CARD_FLAGS),
    shell:
        "(srt report tables {params.results:q} {params.flags}"
        " && srt report figures {params.results:q} {params.flags}"
        " && srt report html {params.results:q} {params.flags} {params.notice} {resources.how}"
        " && srt report cards {params.results:q} {params.cards}) > {log:q} 2>&1"
