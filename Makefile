# `make` runs the default experiment to its tables, `make test` the tests; both set everything up first.

# Any Python from 3.11 on; used once, to make .venv.
PYTHON ?= python3
# The package index torch comes from. Empty: on Linux without an NVIDIA GPU the index of PyTorch's CPU builds, where it
# answers; otherwise PyPI, whose torch for Linux is a CUDA build of several gigabytes.
TORCH_INDEX ?=
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# A name in experiments/, or several, laid over config.yaml in turn. Empty: config.yaml alone, the default.
EXPERIMENT ?=
CORES ?= all
# Of `make compare-results`: published results, and which of them to compute again.
RESULTS ?= docs/results/default
PART ?=
# More arguments for snakemake; in `make test` and the like, for pytest; in `make verify`, --delete; in `make test-gpu`,
# for the check.
ARGS ?=

MAKEFLAGS += --no-print-directory
quoted = '$(subst ','\'',$(1))'
HERE := $(call quoted,$(CURDIR))
IN_VENV := PATH=$(HERE)/.venv/bin:"$$PATH"
LIBRARY := $(IN_VENV) PYTHONPATH=$(HERE)/scripts
EXPERIMENT_FILE := $(EXPERIMENT:%=experiments/%.yaml)
SETUP := PYTHON='$(PYTHON)' TORCH_INDEX='$(TORCH_INDEX)' TORCH_CPU_INDEX='$(TORCH_CPU_INDEX)' sh envs/setup.sh
SNAKEMAKE := $(IN_VENV) snakemake $(if $(EXPERIMENT),--configfile $(EXPERIMENT_FILE)) --cores $(CORES)

# All of this runs on this machine, whatever profile a site names for Snakemake.
ifneq ($(SNAKEMAKE_PROFILE),)
unexport SNAKEMAKE_PROFILE
$(info make works on this machine, without the profile $(SNAKEMAKE_PROFILE) of SNAKEMAKE_PROFILE; for a cluster: docs/cluster.md)
endif

# No Python takes a file of this folder for a library: a random.py, say.
export PYTHONSAFEPATH := 1
# Snakemake asks for one, be it there or not.
HOME ?= /nonexistent
export HOME

.DEFAULT_GOAL := all
.PHONY: help setup setup-slurm setup-downstream all plan rehearse verify report test test-gpu test-cluster \
    test-downstream test-older publish compare-results schema lint clean

help:  ## list the targets
	@echo 'make [target] [PYTHON=python3.12] [TORCH_INDEX=URL] [EXPERIMENT=name] [CORES=2] [ARGS=...]'
	@sed -n 's/^\([a-z-]*\):.*  ## /  \1\t/p' Makefile | expand -t 16
	@echo 'PyTorch comes as its CPU build on Linux without an NVIDIA GPU; TORCH_INDEX names another index.'

setup:  ## make .venv with the pinned packages; find or install a LaTeX engine
	@$(SETUP)
	@sh envs/latex.sh

setup-slurm:  ## make .venv-slurm, the same with Snakemake's plugin for Slurm (docs/cluster.md)
	@# a login node has no GPU, and the nodes of the jobs have: no CPU build by itself
	@VENV=.venv-slurm EXTRAS=test,slurm $(patsubst TORCH_CPU_INDEX=%,TORCH_CPU_INDEX=,$(SETUP))
	@VENV=.venv-slurm sh envs/latex.sh

setup-downstream:  ## make .venv-downstream, the same with lm-evaluation-harness (docs/using.md)
	@VENV=.venv-downstream EXTRAS=test,downstream $(SETUP)
	@VENV=.venv-downstream sh envs/latex.sh

all: setup $(EXPERIMENT_FILE)  ## the default: run the experiment, print its tables, make reports/tables.pdf, explore.html and report.zip
	@$(LIBRARY) python scripts/run_experiment.py '$(CORES)' $(EXPERIMENT_FILE) -- $(ARGS)

plan: setup $(EXPERIMENT_FILE)  ## print the jobs of an experiment, and what they take of memory, disk and time; downloads no model
	@$(LIBRARY) python scripts/plan_experiment.py config.yaml $(EXPERIMENT_FILE)

rehearse: setup $(EXPERIMENT_FILE)  ## run an experiment on stand-ins for its models, in rehearsal/, in minutes (docs/rehearsal.md)
	@$(LIBRARY) python scripts/rehearse.py '$(CORES)' config.yaml $(EXPERIMENT_FILE)

verify: setup $(EXPERIMENT_FILE)  ## read all results again and name what is damaged; ARGS=--delete deletes it
	@$(LIBRARY) python scripts/verify_results.py config.yaml $(EXPERIMENT_FILE) $(ARGS)

report: setup $(EXPERIMENT_FILE)  ## make reports/report.zip, Snakemake's own report, anew
	@$(SNAKEMAKE) --report reports/report.zip

test: setup  ## run the tests, two at a time; ARGS='-n 0' one after the other, ARGS='-m long' the long ones
	@$(IN_VENV) pytest -n 2 --dist loadgroup $(ARGS)

test-gpu: setup  ## try this machine's GPU in ten minutes and write reports/gpu/report.md (docs/gpu.md)
	@$(IN_VENV) PYTHONPATH=scripts:tests:benchmarks python -m gpu $(ARGS)

test-cluster: setup-slurm  ## run the cluster's tests, on a Slurm that they start here; as root, with slurm-wlm and munge
	@.venv-slurm/bin/python -m pytest -m cluster tests/cluster $(ARGS)

test-downstream: setup-downstream  ## run the tests that need lm-evaluation-harness
	@.venv-downstream/bin/python -m pytest tests/evaluate/test_downstream.py $(ARGS)

test-older: setup  ## read exported models by transformers 4, in an environment beside ours
	@sh envs/older.sh
	@$(IN_VENV) OLD_TRANSFORMERS=.venv-older/bin/python pytest -n 2 tests/use/test_older.py -k older_release $(ARGS)

publish: setup $(EXPERIMENT_FILE)  ## keep an experiment's results with the docs, in docs/results/
	@$(LIBRARY) python scripts/publish_results.py config.yaml $(EXPERIMENT_FILE)

compare-results: setup  ## compute PART=MODEL/DATASET/METHOD of docs/results/ again; which cells agree?
	@$(LIBRARY) python scripts/compare_results.py '$(CORES)' $(call quoted,$(RESULTS)) $(call quoted,$(PART))

schema: setup  ## write rules/schemas/config.schema.yaml anew from scripts/reedit/settings/definitions.py
	@$(IN_VENV) PYTHONPATH=scripts python -m reedit.settings.schema

lint: setup  ## check the style of the code and of the workflow
	@$(IN_VENV) ruff check
	@$(IN_VENV) ruff format --check
	@$(IN_VENV) snakefmt --check Snakefile rules
	@$(IN_VENV) snakemake --lint

clean:  ## remove what was generated; downloads (results/sources) and .venv stay
	@find results -mindepth 1 -maxdepth 1 ! -name sources ! -name .gitkeep -exec rm -rf {} +
	@rm -rf rehearsal compared reports/*.pdf reports/*.html reports/*.zip
