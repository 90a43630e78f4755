rule tables:
    input:
        files=report_files(),
        runs=CONFIG.run_table,
    output:
        expand(RESULTS + layout.TABLE, table=layout.TABLES, ext=["csv", "md", "tex"]),
    log:
        "logs/report/tables.log",
    conda:
        "../../environment.yml"
    params:
        results=lambda wildcards: CONFIG.results,
        flags=REPORT_FLAGS,
        version=VERSION["report"],
    shell:
        "srt report tables {params.results} {params.flags} > {log} 2>&1"


rule figure:
    input:
        notebook="notebooks/{figure}.ipynb",
        tables=expand(RESULTS + layout.TABLE, table=layout.TABLES, ext="csv"),
        runs=CONFIG.run_table,
    output:
        figures=expand(RESULTS + layout.FIGURE, ext=["pdf", "png"], allow_missing=True),
        notebook=RESULTS + layout.NOTEBOOK,
    log:
        "logs/report/{figure}.log",
    conda:
        "../../environment.yml"
    params:
        parameters=f"-p results {CONFIG.results} -p run_table {CONFIG.run_table} -p responses {CONFIG.responses}",
        version=VERSION["report"],
    shell:
        "papermill --no-progress-bar -k python3 {input.notebook} {output.notebook} {params.parameters} > {log} 2>&1"


rule html:
    input:
        tables=expand(
            RESULTS + layout.TABLE, table=layout.TABLES, ext=["csv", "md", "tex"]
        ),
        figures=expand(
            RESULTS + layout.FIGURE, figure=layout.FIGURES, ext=["pdf", "png"]
        ),
    output:
        RESULTS + layout.REPORT,
    log:
        "logs/report/html.log",
    conda:
        "../../environment.yml"
    params:
        results=lambda wildcards: CONFIG.results,
        flags=REPORT_FLAGS,
        notice=shlex.quote(CONFIG.report.notice or ""),
        version=VERSION["report"],
    shell:
        "srt report html {params.results} {params.flags} --notice {params.notice} > {log} 2>&1"
