# Everything here needs python3 (3.11 or later) and nothing else; it works in .venv.
.DELETE_ON_ERROR:
.PHONY: help demo test check kill simulate schema clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JOBS   ?= 2
SEEDS  ?= 1..2000
KILLS  ?= 1000
EACH   ?= 20

help:            ## this list
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)   ## two databases kept equal, from first link to crash and recovery
	$(BIN)/python -m examples.demo

test: $(STAMP)   ## every test, on real servers where there are any
	$(BIN)/pytest --numprocesses $(JOBS) --dist worksteal

check: $(STAMP)  ## style, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/unit/test_layering.py

kill: $(STAMP)   ## the real process killed: KILLS=1000 at random, EACH=20 at every named point
	SYNCD_KILLS=$(KILLS) SYNCD_KILLS_EACH=$(EACH) SYNCD_SEED=$$(date +%s) \
	SYNCD_DISK_CALLS=$(EACH) SYNCD_REQUIRE_SERVERS=1 $(BIN)/pytest \
	$(addprefix tests/acceptance/test_,kill.py server_crash.py disk.py time_moved.py)

simulate: $(STAMP) ## simulated lives of a flow under faults: SEEDS=1..2000
	$(BIN)/python -m syncd.simulate $(SEEDS) --ledger .simulate/ledger.jsonl

schema: $(STAMP) ## write docs/schema/ anew
	$(BIN)/python -m syncd.config.schema > docs/schema/syncd.schema.json

clean:           ## what tools left behind; the environment stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
