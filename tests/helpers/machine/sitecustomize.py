"""Made-up cores, for a Snakemake that has this folder first on its path: `--cores all` is TEST_CORES of them."""

import os

if "TEST_CORES" in os.environ:
    import snakemake.utils

    snakemake.utils.available_cpu_count = lambda: int(os.environ["TEST_CORES"])
