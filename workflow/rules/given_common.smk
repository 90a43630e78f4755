# Look-ups of what somebody has already made (`given:`), for the rules of given.smk.
from srt.settings.benchmarks import benchmark_of

IMPORTED_SCORES = {
    path.removeprefix("scores/").removesuffix(".jsonl"): scores
    for path, scores in layout.imported_scores(CONFIG).items()
}
# {run}/evaluation/{benchmark}: the benchmark, and its judgments.
JUDGED = {
    layout.EVALUATION.format(run=run, benchmark=benchmark)
    .removeprefix("runs/")
    .removesuffix(".json"): (benchmark, judgments)
    for run, of_run in CONFIG.given.judgments.items()
    for benchmark, judgments in of_run.items()
}


def given_reflections(wildcards):
    """The entry under `given.reflections` of a teacher and data set."""
    return CONFIG.given.reflections[wildcards.teacher][wildcards.dataset]


def given_beside(wildcards):
    """version: source of the files that a variant's order is checked by."""
    files = given_reflections(wildcards).files
    names = ["original"] + (["instruction"] if wildcards.variant == "both" else [])
    return {name: files[name] for name in names if name in files}


def given_scores(wildcards):
    """The entry under `given.scores` of an imported file, and what is known of the file."""
    imported = IMPORTED_SCORES[wildcards.imported]
    return CONFIG.given.scores[imported.student][imported.dataset], imported


def given_scores_beside(wildcards, as_words=False):
    """Pairs and scores that an imported file is compared with, as files or as flags."""
    beside = given_scores(wildcards)[1].beside
    if not as_words:
        return [RESULTS + path for paths in beside.values() for path in paths]
    return " ".join(
        EXPERIMENT.below_results(
            flag, {variant: paths[place] for variant, paths in beside.items()}
        )
        for place, flag in enumerate(("pairs", "scores"))
    )


def judgment_command(benchmark, judgments):
    """The subcommand that recomputes an evaluation."""
    return benchmark_of(benchmark).command


def judgment_flags(benchmark, judgments):
    """What it reads, as flags."""
    files = {
        benchmark_of(benchmark).replay.flag: judgments.source,
        "outputs": judgments.outputs,
    }
    return " ".join(flags.flag(*item) for item in files.items() if item[1])


def judgment_files(benchmark, judgments):
    """What of that is a file here."""
    return present(judgments.source) + present(judgments.outputs or "")
