#!/usr/bin/env bash
# Snakemake runs this in the environment that it has made of srt.yaml (`--sdm conda`): the lock, then this checkout.
# A relative path in srt.yaml would point into Snakemake's own folder; workflow/rules/common.smk says where we are.
set -euo pipefail
python -m pip install -r "$SRT_CHECKOUT/requirements/gpu.txt"
python -m pip install --no-deps --no-build-isolation --editable "$SRT_CHECKOUT"
