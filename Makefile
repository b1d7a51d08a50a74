# Each target makes .venv and installs what it needs by itself; the second time it is quick.
PYTHON ?= python3
BIN := .venv/bin
# Stamps: what a fresh .venv was last given.
RUN := .venv/.run
DEV := .venv/.dev
# The oldest Scrapy that is promised, in an environment of its own.
OLDEST := .venv-oldest/.dev
OLDEST_SCRAPY := $(shell sed -n 's/.*"scrapy>=\([0-9.]*\)".*/\1/p' pyproject.toml)
# Spark and Ray, in one of their own as well: they are large.
DISTRIBUTED := .venv-distributed/.dev

BENCH := .venv/.bench
FUZZ := .venv/.fuzz
# Seconds for each target of `make fuzz`.
SECONDS ?= 20
# Listed URLs of `make bench-registry`.
N ?= 10000000

.PHONY: demo test coverage test-oldest test-distributed environments lint format bench bench-registry fuzz clean

demo: $(RUN)
	$(BIN)/heedful demo

test: $(DEV)
	$(BIN)/python -m pytest -n auto --dist loadfile

coverage: $(DEV)
	$(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term

test-oldest: $(OLDEST)
	.venv-oldest/bin/python -m pytest -n auto --dist loadfile tests/scrapy_addon tests/spiders

test-distributed: $(DISTRIBUTED)
	.venv-distributed/bin/python -m pytest tests/distributed

# What the last two need, ahead of them.
environments: $(OLDEST) $(DISTRIBUTED)

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
	$(BIN)/python tests/bench/origins.py
	$(BIN)/python tests/bench/ledger.py
	$(BIN)/python tests/bench/report.py
	$(BIN)/python tests/bench/adapters.py
	$(BIN)/python tests/bench/scrapy_addon.py
	$(BIN)/python tests/bench/img2dataset.py
	$(BIN)/python tests/bench/filter.py
	$(BIN)/python tests/bench/fingerprints.py
	$(BIN)/python tests/bench/fingerprint_index.py 1000000
	$(BIN)/python tests/bench/recheck.py

bench-registry: $(BENCH)
	$(BIN)/python tests/bench/registry.py --entries $(N)

fuzz: $(FUZZ)
	$(BIN)/python tests/fuzz/fuzz_signals.py --seconds $(SECONDS)

clean:
	rm -rf .venv .venv-oldest .venv-distributed heedful-demo .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv-oldest/bin/python .venv-distributed/bin/python:
	$(PYTHON) -m venv $(dir $(patsubst %/bin/python,%/,$@))

$(OLDEST): pyproject.toml | .venv-oldest/bin/python
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[dev]' 'scrapy==$(OLDEST_SCRAPY).*'
	touch $@

$(DISTRIBUTED): pyproject.toml | .venv-distributed/bin/python
	.venv-distributed/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[dev,ray,spark]'
	touch $@

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
