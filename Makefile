# insertion_vla: `make demo` and `make test` do all of their own set-up. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
ARGS ?=
# The folder of this file, also in a path with spaces and when called with -f from elsewhere.
ROOT := $(shell cd -- "$$(dirname -- "$$(printf '%s' '$(MAKEFILE_LIST)' | sed 's/^ *//')")" && pwd)
IN_WORKSPACE := cd "$(ROOT)" && source setup.bash &&

.PHONY: help setup setup-demo demo data-demo train-smoke train-demo test lint bench bench-graph trials clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    a simulated arm inserts the needle (ARGS=\"seed:=7 instruction:='insert the needle into the green trocar'\")"
	@echo "make data-demo  20 simulated episodes to a data set: collect, preprocess, inspect, cache, export"
	@echo "make train-smoke  a small store, both experts trained briefly, validated, and run in the graph"
	@echo "make train-demo  the shipped policies from nothing: collect, train, compare (goes on where it was stopped)"
	@echo "make test    lint, type check and every test, as CI runs them"
	@echo "make bench   every benchmark: the running graph, data, loader, policies, training (bench-graph: the first, 3 minutes)"
	@echo "make trials  success rate over many seeds through the full graph (ARGS=\"seeds:=50\")"
	@echo "make lint    format, lint and type check only"
	@echo "make setup   virtual environment, pinned packages and colcon build only (PYTHON=python3.12 to choose)"
	@echo "make clean   remove everything that the targets made"

# What only training, tests and checks need is left out for those who want to see it work.
demo trials: SETUP_FOR := demo
setup setup-demo:
	@cd "$(ROOT)" && command -v $(PYTHON) >/dev/null || { \
	  echo "[setup] FAILED: expected Python 3.11 or 3.12; '$(PYTHON)' is not on the PATH"; \
	  echo "  what to do: sudo apt install python3 python3-venv, or name one: make PYTHON=/path/to/python3.12 <target>"; exit 2; }
	@cd "$(ROOT)" && $(PYTHON) tools/setup_workspace.py $(SETUP_FOR)

demo: setup-demo
	@$(IN_WORKSPACE) exec ros2 run insertion_vla demo $(ARGS)

data-demo: setup
	@$(IN_WORKSPACE) exec python tools/data_demo.py $(ARGS)

train-smoke: setup
	@$(IN_WORKSPACE) exec python tools/train_smoke.py $(ARGS)

train-demo: setup
	@$(IN_WORKSPACE) exec python tools/train_demo.py $(ARGS)

test: setup
	@$(IN_WORKSPACE) exec python tools/run_tests.py $(ARGS)

lint: setup
	@$(IN_WORKSPACE) exec python tools/run_tests.py --lint-only

bench-graph: setup
	@$(IN_WORKSPACE) exec python tools/bench $(ARGS)

bench: setup
	@$(IN_WORKSPACE) missed=; for part in bench bench_data.py bench_loader.py bench_policy.py bench_training.py; do \
	  echo "== $$part"; python "tools/$$part" || missed="$$missed $$part"; done; \
	  [ -z "$$missed" ] || { echo "a bound was missed in:$$missed"; exit 1; }

trials: setup-demo
	@$(IN_WORKSPACE) exec ros2 run insertion_vla trials $(ARGS)

clean:
	@cd "$(ROOT)" && rm -rf .venv build install log bench runs .pytest_cache .ruff_cache .mypy_cache .hypothesis
