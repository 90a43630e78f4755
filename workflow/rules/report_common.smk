# What the report reads and says, for the rules of report.smk.
def report_files():
    """All that the tables and the report read."""
    files = []
    for name, run in RUNS.items():
        results = [
            layout.EVALUATION.format(run=name, benchmark=b)
            for b in layout.benchmarks(CONFIG, run)
        ]
        files += [*results, *map(items_of, results)]
        files += [
            meta_of(layout.ANSWERS.format(run=name, questions=questions))
            for questions in layout.answered(CONFIG, run, RUN_TABLE)
        ]
        files += [*layout.pairs_paths(run, CONFIG.responses).values()]
        files += [*layout.scores_paths(run, CONFIG.responses).values()]
        if not run.is_untuned:
            files += [layout.TRAIN.format(run=name), layout.LEDGER.format(run=name)]
    files += [
        layout.CALIBRATION.format(judge=judge) for judge in layout.calibrated(CONFIG)
    ]
    return sorted({RESULTS + path for path in files})


COMPARED = CONFIG.evaluate.pairwise.questions if CONFIG.evaluate.pairwise else []
OPPONENTS = CONFIG.evaluate.pairwise.opponents if CONFIG.evaluate.pairwise else []
RUN_FLAGS = flags.as_flags(CONFIG, only=["run_table", "responses"])
NOTICE = flags.flag("notice", CONFIG.report.notice or "")
REPORT_FLAGS = " ".join(
    [
        RUN_FLAGS,
        *(flags.flag("opponent", name) for name in OPPONENTS),
        *(flags.flag("questions", name) for name in COMPARED),
        assigned("compare", CONFIG.report.compare),
    ]
)
CARD_FLAGS = " ".join([RUN_FLAGS, NOTICE, assigned("licence", CONFIG.report.licences)])
SHOWN = flags.flag("config", CONFIG_FILE)
# Papermill takes what follows -r as text, whatever it looks like.
NOTEBOOK_FLAGS = " ".join(
    shlex.join(["-r", name, getattr(CONFIG, name)])
    for name in ("results", "run_table", "responses")
)
