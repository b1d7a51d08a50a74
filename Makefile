# Each target makes .venv and installs what it needs by itself; the second time it is quick.
PYTHON ?= python3
BIN := .venv/bin
# Stamps: what a fresh .venv was last given.
RUN := .venv/.run
DEV := .venv/.dev

BENCH := .venv/.bench
FUZZ := .venv/.fuzz
# Seconds for each target of `make fuzz`.
SECONDS ?= 20
# Listed URLs of `make bench-registry`.
N ?= 10000000

.PHONY: demo test lint format bench bench-registry fuzz clean

demo: $(RUN)
	$(BIN)/heedful demo

test: $(DEV)
	$(BIN)/python -m pytest --cov --cov-report=term

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH)
	$(BIN)/python tests/bench/signals.py
	$(BIN)/python tests/bench/embedded.py
	$(BIN)/python tests/bench/registry.py

bench-registry: $(BENCH)
	$(BIN)/python tests/bench/registry.py --entries $(N)

fuzz: $(FUZZ)
	$(BIN)/python tests/fuzz/fuzz_signals.py --seconds $(SECONDS)

clean:
	rm -rf .venv heedful-demo .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(RUN): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(RUN)

$(BENCH): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	touch $@ $(DEV) $(RUN)

$(FUZZ): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	touch $@ $(DEV) $(RUN)
