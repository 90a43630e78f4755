rule selected:
    input:
        selection_files,
    output:
        train=RESULTS + layout.TRAIN,
        ledger=RESULTS + layout.LEDGER,
    log:
        "logs/selection/{run}.log",
    priority: 95
    conda:
        "../../environment.yml"
    params:
        run_dir=lambda wildcards: RESULTS + f"runs/{wildcards.run}",
        choice=selection_flags,
        settings=settings.as_flags(CONFIG.selection),
        version=VERSION["selection"],
    shell:
        "srt selection {params.run_dir} {params.choice} {params.settings} > {log} 2>&1"
