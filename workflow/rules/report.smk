rule tables:
    input:
        files=EXPERIMENT.report_files(),
        runs=CONFIG.run_table,
    output:
        WHOLE_TABLES,
    log:
        "logs/report/tables.log",
    localrule: True
    conda:
        "../envs/srt.yaml"
    resources:
        how=SHOWN,
    params:
        **report_params("tables"),
    shell:
        "srt report tables {resources.how} --out {params.results:q} > {log:q} 2>&1"


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
    resources:
        how=NOTEBOOK_CONFIG,
    params:
        **report_params("figures"),
    shell:
        "papermill --no-progress-bar -k python3 {input.notebook:q} {output.notebook:q} -r results {params.results:q}"
        " {resources.how} > {log:q} 2>&1"


rule html:
    input:
        tables=WHOLE_TABLES,
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
        how=SHOWN,
    params:
        **report_params("html"),
    shell:
        "srt report html {resources.how} --out {params.results:q} > {log:q} 2>&1"


# A card describes what a run has made, and waits for the report.
for kind, made, card in (
    ("data", [layout.TRAIN, layout.LEDGER], layout.DATA_CARD),
    ("model", [layout.MODEL], layout.MODEL_CARD),
):

    rule:
        name:
            f"{kind}_card"
        input:
            [RESULTS + path for path in [*made, layout.REPORT]],
        output:
            RESULTS + card,
        log:
            f"logs/report/{{run}}.{kind}_card.log",
        localrule: True
        conda:
            "../envs/srt.yaml"
        resources:
            how=SHOWN,
        params:
            **report_params("cards"),
            kind=kind,
        shell:
            "srt report cards {resources.how} --out {params.results:q} --kind {params.kind} --only {wildcards.run:q}"
            " > {log:q} 2>&1"


# Targets that wait for no run and start none; what has not been run is listed. Nothing is declared, so that they are
# made each time they are asked for, and they are written into a folder of their own, so that no rule above takes them
# for what it makes.
for target, parts in DRAFTS.items():

    rule:
        name:
            target
        log:
            f"logs/report/{target}.log",
        localrule: True
        conda:
            "../envs/srt.yaml"
        params:
            command=verbatim(draft(parts)),
        shell:
            "{params.command} > {log:q} 2>&1"
