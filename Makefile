# `make demo` runs the main job on servers of its own; `make test` runs every check. Both install what they need
# into this folder (.venv, .tools) and the user's cache. Flags: make demo ARGS="--once", make bench ARGS="load latency"
PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
UV := .tools/bin/uv
VENV := .venv
BIN := $(VENV)/bin

# Bytecode is kept, whatever the shell says: without it a third of a test run is compiling the same modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick contract lint docs synth bench bench-all faults break-promises dist lock install help
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/'

install: $(VENV)/.installed  ## install everything, pinned, into .venv

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "penstock needs Python 3.11 or newer; name one with make PYTHON=...")'
	mkdir -p .tools && awk '/^[^ ]/ { keep = /^uv==/ } keep' requirements.lock > .tools/uv.lock
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --target .tools --requirement .tools/uv.lock

$(VENV)/.installed: $(UV) requirements.lock pyproject.toml
	test -x $(BIN)/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: install  ## load 34,006 cities into OpenSearch and watch edits arrive
	@$(BIN)/penstock demo $(ARGS)

lint: install  ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

synth: install  ## write the templates of the AWS deployment to cdk.out, checked by cdk-nag; no credentials needed
	$(BIN)/python -m infra.app $(ARGS)

docs: install  ## build the site into build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open build/site/index.html"

PROCESSES ?= 4
SPREAD := --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
test: lint  ## every check: lint, types, import rules, tests on real servers (PROCESSES=n: on n pairs of servers at once)
	$(BIN)/pytest $(SPREAD) --durations 20 $(PYTEST_ARGS)

IN_MEMORY := $(patsubst %,tests/contract/%.py,mongo/test_streams mongo/test_loads opensearch/test_sink \
	opensearch/test_checkpoints opensearch/test_dead_letters)
quick: lint  ## the checks that need no servers, in less than a minute: lint, types, unit tests, contracts in memory
	$(BIN)/pytest --quiet --numprocesses 2 tests/unit $(IN_MEMORY) -k "unit or memory" $(PYTEST_ARGS)

contract: install  ## the contracts of source, sink, state and functions, on real servers
	$(BIN)/pytest $(SPREAD) tests/contract $(PYTEST_ARGS)

bench: install  ## measure load, catch-up, latency and the sync function, in about ten minutes; writes docs/appendix/benchmarks.md
	$(BIN)/python -m benchmarks $(ARGS)

bench-all: install  ## measure everything at full size, in up to two hours; writes docs/appendix/benchmarks.md
	$(BIN)/python -m benchmarks --all $(ARGS)

FAULT ?=
ROUNDS ?= 5
faults: install  ## make faults on purpose under a writer (FAULT=name: one of them, ROUNDS=n); writes docs/appendix/faults.md
	$(BIN)/python -m faults --rounds $(ROUNDS) $(ARGS) $(FAULT)

break-promises: install  ## break each promise in a copy of the source, and see that its tests fail
	$(BIN)/python -m faults.break_promises $(ARGS)

dist: install  ## build the wheel and the source distribution into dist
	$(BIN)/python -m hatchling build

lock: $(UV)  ## renew requirements.lock from pyproject.toml (python -m penstock_tools.bundle.lock renews those of the functions)
	$(UV) pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --output-file requirements.lock
