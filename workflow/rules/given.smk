# What somebody has already made, in the place of the step that would make it.
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


def any_of(names):
    """A wildcard constraint to these names."""
    return "|".join(map(re.escape, names))


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


def given_scores_beside(wildcards, flags=False):
    """Pairs and scores that an imported file is compared with, as files or as flags."""
    beside = given_scores(wildcards)[1].beside
    if not flags:
        return [RESULTS + path for paths in beside.values() for path in paths]
    return " ".join(
        below_results(
            {variant: paths[place] for variant, paths in beside.items()}, flag
        )
        for place, flag in enumerate(("--pairs", "--scores"))
    )


def judgment_command(benchmark, judgments):
    """The subcommand that recomputes an evaluation."""
    return "alpaca-eval" if benchmark == ALPACA_EVAL else "pairwise"


def judgment_flags(benchmark, judgments):
    """What it reads, as flags."""
    flag = "--annotations" if benchmark == ALPACA_EVAL else "--judgments"
    outputs = (
        f" --outputs {shlex.quote(judgments.outputs)}" if judgments.outputs else ""
    )
    return f"{flag} {shlex.quote(judgments.source)}{outputs}"


def judgment_files(benchmark, judgments):
    """What of that is a file here."""
    return present(judgments.source) + present(judgments.outputs or "")


if CONFIG.given.reflections:

    rule imported_reflections:
        input:
            original=RESULTS + layout.ORIGINAL,
            prepared=RESULTS + layout.meta_of(layout.ORIGINAL),
            source=lambda wildcards: present(
                given_reflections(wildcards).files[wildcards.variant]
            ),
            beside=lambda wildcards: [
                path
                for source in given_beside(wildcards).values()
                for path in present(source)
            ],
        output:
            pairs=RESULTS + layout.REFLECTED,
            meta=RESULTS + layout.meta_of(layout.REFLECTED),
        log:
            "logs/import/{dataset}/{teacher}/{variant}.log",
        wildcard_constraints:
            teacher=any_of(CONFIG.given.reflections),
        priority: 100
        conda:
            "../../environment.yml"
        params:
            source=lambda wildcards: shlex.quote(
                given_reflections(wildcards).files[wildcards.variant]
            ),
            beside=lambda wildcards: " ".join(
                f"--beside {variant}={shlex.quote(source)}"
                for variant, source in given_beside(wildcards).items()
            ),
            settings=lambda wildcards: settings.as_flags(given_reflections(wildcards)),
            version=VERSION["import"],
        shell:
            "srt import reflections {params.source} {input.original} {output.pairs} --variant {wildcards.variant}"
            " {params.beside} {params.settings} > {log} 2>&1"


if CONFIG.given.scores:

    ruleorder: imported_scores > scores

    rule imported_scores:
        input:
            pairs=lambda wildcards: RESULTS + given_scores(wildcards)[1].pairs,
            original=lambda wildcards: RESULTS
            + layout.ORIGINAL.format(dataset=given_scores(wildcards)[1].dataset),
            prepared=lambda wildcards: RESULTS
            + layout.meta_of(layout.ORIGINAL).format(
                dataset=given_scores(wildcards)[1].dataset
            ),
            source=lambda wildcards: present(
                given_scores(wildcards)[0].files[given_scores(wildcards)[1].variant]
            ),
            beside=given_scores_beside,
        output:
            scores=RESULTS + "scores/{imported}.jsonl",
            meta=RESULTS + layout.meta_of("scores/{imported}.jsonl"),
        log:
            "logs/import/scores/{imported}.log",
        wildcard_constraints:
            imported=any_of(IMPORTED_SCORES),
        priority: 91
        conda:
            "../../environment.yml"
        params:
            source=lambda wildcards: shlex.quote(
                given_scores(wildcards)[0].files[given_scores(wildcards)[1].variant]
            ),
            student=lambda wildcards: given_scores(wildcards)[1].student,
            beside=lambda wildcards: given_scores_beside(wildcards, flags=True),
            settings=lambda wildcards: settings.as_flags(given_scores(wildcards)[0]),
            version=VERSION["import"],
        shell:
            "srt import scores {params.source} {input.pairs} {output.scores} --original {input.original}"
            " --use-student {params.student} {params.beside} {params.settings} > {log} 2>&1"


if CONFIG.given.train:

    ruleorder: imported_train > selected

    rule imported_train:
        input:
            selection_files,
            source=lambda wildcards: present(CONFIG.given.train[wildcards.run].source),
        output:
            train=RESULTS + layout.TRAIN,
            ledger=RESULTS + layout.LEDGER,
            meta=RESULTS + layout.meta_of(layout.TRAIN),
        log:
            "logs/import/runs/{run}.log",
        wildcard_constraints:
            run=any_of(CONFIG.given.train),
        priority: 95
        conda:
            "../../environment.yml"
        params:
            run_dir=lambda wildcards: RESULTS + f"runs/{wildcards.run}",
            source=lambda wildcards: shlex.quote(
                CONFIG.given.train[wildcards.run].source
            ),
            pairs=lambda wildcards: below_results(
                layout.pairs_paths(RUNS[wildcards.run], CONFIG.responses), "--pairs"
            ),
            settings=lambda wildcards: settings.as_flags(
                CONFIG.given.train[wildcards.run], without=["source"]
            ),
            version=VERSION["import"],
        shell:
            "srt import train {params.source} {params.run_dir} {params.pairs} {params.settings} > {log} 2>&1"


if CONFIG.given.judgments:
    if CONFIG.evaluate.alpaca_eval is not None:

        ruleorder: replayed > alpaca_eval

    if CONFIG.evaluate.pairwise is not None:

        ruleorder: replayed > pairwise

    rule replayed:
        input:
            lambda wildcards: judgment_files(*JUDGED[wildcards.judged]),
        output:
            result=RESULTS + "runs/{judged}.json",
            by_question=RESULTS + layout.items_of("runs/{judged}.json"),
        log:
            "logs/import/runs/{judged}.log",
        wildcard_constraints:
            judged=any_of(JUDGED),
        conda:
            "../../environment.yml"
        params:
            benchmark=lambda wildcards: judgment_command(*JUDGED[wildcards.judged]),
            judgments=lambda wildcards: judgment_flags(*JUDGED[wildcards.judged]),
            version=VERSION["evaluate"],
        shell:
            "srt evaluate {params.benchmark} {output.result} {params.judgments} > {log} 2>&1"
