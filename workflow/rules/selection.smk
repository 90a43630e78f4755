def selection_files(wildcards):
    """What the run's method reads."""
    run = RUNS[wildcards.run]
    maps = (layout.pairs_paths, layout.scores_paths, layout.coherence_paths)
    return [RESULTS + path for paths in maps for path in paths(run, CONFIG.responses).values()]


def selection_flags(wildcards):
    """The same as flags."""
    run = RUNS[wildcards.run]
    flags = [
        below_results(layout.pairs_paths(run, CONFIG.responses), "--pairs"),
        below_results(layout.scores_paths(run, CONFIG.responses), "--scores"),
        below_results(layout.coherence_paths(run, CONFIG.responses), "--coherence"),
        settings.as_flags(run, only=("method", "ratio", "seed")),
    ]
    return " ".join(filter(None, flags))


rule selected:
    input:
        selection_files,
    output:
        train=RESULTS + layout.TRAIN,
        ledger=RESULTS + layout.LEDGER,
    params:
        run_dir=lambda wildcards: RESULTS + f"runs/{wildcards.run}",
        choice=selection_flags,
        settings=settings.as_flags(CONFIG.selection),
        version=VERSION["selection"],
    log:
        "logs/selection/{run}.log",
    conda:
        "../../environment.yml"
    shell:
        "srt selection {params.run_dir} {params.choice} {params.settings} 2> {log}"
