# Everything runs from .venv, which `make install` fills from constraints.txt.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install bench quick test check schema speed drill clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(INSTALLED) ## Install gradbench and its tools into .venv

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make needs Python 3.11: set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

bench: install ## Run suites/default.toml and write its report (about 2 minutes on 2 cores)
	$(BIN)/bench run suites/default.toml

quick: install ## Run suites/quick.toml and write its report (half a minute)
	$(BIN)/bench run suites/quick.toml

test: install ## Run the tests
	$(BIN)/python -m pytest -n 2

check: install ## Lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schema: install ## Write suites/suite.schema.json and docs/tables.md anew
	$(BIN)/bench schema > suites/suite.schema.json
	$(BIN)/bench schema --tables > docs/tables.md

speed: install ## Measure the engine against a plain Keras loop and a JAX vmap (about 15 minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,speed]'
	$(BIN)/python -m benchmarks.speed

drill: install ## Kill, freeze, fill and damage on purpose, continue, compare (about 8 minutes)
	$(BIN)/python -m benchmarks.drills

clean: ## Remove .venv, caches and build leftovers; results stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
