# Everything starts from a fresh clone: each target sets up what it needs.
#
#   make demo    a few daemons on this machine learn together, watched from here
#   make test    lint, types, import walls, tests, coverage of the core
#   make scenarios  every scenario of the library on real daemons, with reports in runs/scenarios
#   make soak    half an hour of training and ten thousand strangers: does a daemon grow?
#   make lint    the first three alone
#   make format  rewrite the sources in the project's format
#   make venv    only the environment, in .venv
#   make clean   remove what the above have made
#
# A Linux machine needs, once:  sudo apt-get install build-essential libgmp-dev python3-dev python3-venv
# (whatever is missing is named before anything is installed).

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := gossipd cli dashboard scenarios tests tools $(wildcard benchmarks)

# See docs/dependencies.md: where torch's CPU build is found, and whether CUDA is welcome instead.
export TORCH_INDEX TORCH_CUDA

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test scenarios soak lint format clean

help:
	@sed -n 's/^#   //p' Makefile

venv: $(READY)

# A changed pin installs again; so does a changed way of installing.
$(READY): pyproject.toml constraints.txt tools/check-setup.sh tools/install.sh
	@python=$$(tools/check-setup.sh) && \
	    echo "Installing into $(VENV) (a few minutes the first time)" && \
	    tools/install.sh $(VENV) "$$python"
	@touch $@

demo: $(READY)
	@$(BIN)/gossipd demo

test: lint
	$(BIN)/pytest -n 3 --cov --cov-report=term-missing:skip-covered

scenarios: $(READY)
	@failed=0; for file in scenarios/gossipd_scenarios/library/*.toml; do \
	    name=$$(basename $$file .toml); \
	    $(BIN)/gossipd scenario run $$name --output runs/scenarios/$$name || failed=1; \
	done; exit $$failed

MINUTES ?= 30
soak: $(READY)
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

lint: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .import_linter_cache .coverage .coverage.* htmlcov
