def report_files():
    """All that the tables and the report read."""
    files = []
    for name, run in RUNS.items():
        files += [layout.EVALUATION.format(run=name, benchmark=b) for b in layout.benchmarks(CONFIG, name)]
        files += [*layout.pairs_paths(run, CONFIG.responses).values()]
        files += [*layout.scores_paths(run, CONFIG.responses).values()]
        if run.method != "none":
            files += [layout.TRAIN.format(run=name), layout.LEDGER.format(run=name)]
    return sorted({RESULTS + path for path in files})


REPORT_FLAGS = " ".join(
    [
        f"--run-table {CONFIG.run_table} --responses {CONFIG.responses}",
        *(f"--opponent {name}" for name in layout.opponents(CONFIG, "")),
        *(f"--compare {run}={shlex.quote(name)}" for run, name in CONFIG.report.compare.items()),
    ]
)


rule tables:
    input:
        files=report_files(),
        runs=CONFIG.run_table,
    output:
        expand(RESULTS + layout.TABLE, table=layout.TABLES, ext=["csv", "md", "tex"]),
    params:
        results=CONFIG.results,
        flags=REPORT_FLAGS,
        version=VERSION["report"],
    log:
        "logs/report/tables.log",
    conda:
        "../../environment.yml"
    shell:
        "srt report tables {params.results} {params.flags} 2> {log}"


rule figure:
    input:
        notebook="notebooks/{figure}.ipynb",
        tables=expand(RESULTS + layout.TABLE, table=layout.TABLES, ext="csv"),
        runs=CONFIG.run_table,
    output:
        figures=expand(RESULTS + layout.FIGURE, ext=["pdf", "png"], allow_missing=True),
        notebook=RESULTS + "notebooks/{figure}.ipynb",
    params:
        parameters=f"-p results {CONFIG.results} -p run_table {CONFIG.run_table} -p responses {CONFIG.responses}",
        version=VERSION["report"],
    log:
        "logs/report/{figure}.log",
    conda:
        "../../environment.yml"
    shell:
        "papermill --no-progress-bar -k python3 {input.notebook} {output.notebook} {params.parameters} 2> {log}"


rule html:
    input:
        tables=expand(RESULTS + layout.TABLE, table=layout.TABLES, ext=["csv", "md", "tex"]),
        figures=expand(RESULTS + layout.FIGURE, figure=layout.FIGURES, ext=["pdf", "png"]),
    output:
        RESULTS + layout.REPORT,
    params:
        results=CONFIG.results,
        flags=REPORT_FLAGS,
        notice=shlex.quote(CONFIG.report.notice or ""),
        version=VERSION["report"],
    log:
        "logs/report/html.log",
    conda:
        "../../environment.yml"
    shell:
        "srt report html {params.results} {params.flags} --notice {params.notice} 2> {log}"
