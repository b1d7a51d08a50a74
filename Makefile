# Each target makes .venv and installs what it needs by itself; the second time it is quick.
PYTHON ?= python3
BIN := .venv/bin
# Stamps: what a fresh .venv was last given.
RUN := .venv/.run
DEV := .venv/.dev

.PHONY: demo test lint format bench clean

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

bench: $(DEV)
	$(BIN)/python tests/bench/signals.py

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
