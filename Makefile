# Everything runs from .venv, which `make install` fills from constraints.txt.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RAY := $(VENV)/.installed-ray
JAX := $(VENV)/.installed-jax
SUITES ?= quick default textbook recurrent conv transformer regression upgrade remedies
CLAIMS := $(basename $(notdir $(sort $(wildcard suites/claims/*.toml))))

# Tests that share what they have made stay together, file by file; tests/conftest.py puts long files first.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
MARKED := # of full-test, all unless given: MARKED="full or hypothesis" is what `make test` leaves out

# Tests start many processes, which need not compile the project each time.
unexport PYTHONDONTWRITEBYTECODE

# What test-machines tries: TensorFlow turns oneDNN on by itself on some processors and not on others.
ONEDNN := 0 1

# What test-versions tries beside what constraints.txt has: the oldest, two between, and TensorFlow's oldest with what it needs.
VERSIONS := keras==3.7.0 keras==3.10.0 keras==3.12.4 \
  tensorflow==2.18.1,keras==3.8.0,numpy==2.0.2,protobuf==5.29.6
OF_VERSIONS := tests/recorder tests/engine/test_levels_resolve.py tests/engine/test_own_model.py

IN_BROWSER := $(wildcard tests/report/test_browser_*.py) tests/report/test_links.py

# What has neither TensorFlow, nor a browser, nor Ray.
QUICK := tests/analysis tests/suite tests/theory $(wildcard tests/test_*.py)

.PHONY: help install bench quick textbook recurrent conv transformer baseline upgrade families claims test quick-test full-test browser-test test-machines test-versions browser check schema reference causes speed speed-full drill clean
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(INSTALLED) ## Install gradtrial and its tools into .venv

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make needs Python 3.11: set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

bench: install ## Run suites/default.toml and write its report (5 minutes on 2 cores)
	$(BIN)/bench run suites/default.toml

quick: install ## Run suites/quick.toml and write its report (about a minute)
	$(BIN)/bench run suites/quick.toml

textbook: install ## Put the textbook's thirteen statements to the test (under 5 minutes on 2 cores)
	$(BIN)/bench run suites/textbook.toml
	$(BIN)/bench claims reports/textbook

recurrent: install ## Ask recurrent networks: which cell and start for which lag (under 6 minutes on 2 cores)
	$(BIN)/bench run suites/recurrent.toml
	$(BIN)/bench claims reports/recurrent

conv: install ## Ask convolutional networks: how deep, from which start, with which normalization (about 6 minutes on 2 cores)
	$(BIN)/bench run suites/conv.toml
	$(BIN)/bench claims reports/conv

transformer: install ## Ask transformers: which block trains deep, which positions and optimizer they need (about 8 minutes on 2 cores)
	$(BIN)/bench run suites/transformer.toml
	$(BIN)/bench claims reports/transformer

baseline: install ## Train suites/upgrade.toml and keep it as what an upgrade is compared with (2 minutes on 2 cores)
	$(BIN)/bench run suites/upgrade.toml --out reports/baseline --no-report

upgrade: install ## Train it again with the versions that are installed now: what changed since make baseline? (2 minutes on 2 cores)
	@[ -e reports/baseline/manifest.json ] || { echo "make upgrade needs reports/baseline: run make baseline before an upgrade"; exit 1; }
	$(BIN)/bench run suites/upgrade.toml --out reports/upgraded --no-report --fresh
	$(BIN)/bench compare reports/baseline reports/upgraded --fail-on worse --fail-on inconclusive

families: recurrent conv transformer ## Ask every kind of network that is not fully connected, one suite after the other

$(RAY): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,ray]'
	@touch $@

$(JAX): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,jax]'
	@touch $@

claims: install ## Put the literature's claims to the test and write docs/claims.md (about 35 minutes on 2 cores)
	@for suite in $(CLAIMS); do $(BIN)/bench run suites/claims/$$suite.toml || exit 1; done
	$(BIN)/bench claims $(CLAIMS:%=reports/%) --markdown > docs/claims.md.new
	@mv docs/claims.md.new docs/claims.md
	@echo docs/claims.md

test: install $(RAY) $(JAX) ## Run the tests, without the most expensive ones and those in a browser
	$(PYTEST)

quick-test: install ## Run the tests that need neither TensorFlow nor a browser (under a minute)
	$(PYTEST) $(QUICK) -m "not full and not slow"

full-test: install $(RAY) $(JAX) ## Run all tests, the expensive ones too (in a browser if there is one: see make browser), each property on more examples
	$(PYTEST) --traced --hypothesis-profile ci -m "$(MARKED)"

browser-test: install ## Run the tests of the report in a browser (see make browser)
	$(PYTEST) --dist loadscope $(IN_BROWSER) -m full -k "not 10000 and not twin"

test-machines: install ## Run the engine's tests without and with oneDNN: no expected value may be a processor's
	@for onednn in $(ONEDNN); do \
	  echo "TF_ENABLE_ONEDNN_OPTS=$$onednn"; TF_ENABLE_ONEDNN_OPTS=$$onednn $(PYTEST) --traced tests/engine || exit 1; \
	done

test-versions: install ## Run the recorder's tests on older versions of Keras and TensorFlow (fetches them; about 10 minutes)
	@for packages in $(VERSIONS); do \
	  echo "$$packages"; at=build/versions/$$packages; \
	  [ -e "$$at/.fetched" ] || { \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$$at" $$(echo "$$packages" | tr , ' ') \
	      && touch "$$at/.fetched" || exit 1; }; \
	  PYTHONPATH="$$at" $(PYTEST) $(OF_VERSIONS) || exit 1; \
	done

browser: ## Install chromium with apt-get, for the tests of the report in a browser
	@for name in chromium chromium-browser google-chrome; do \
	  command -v $$name >/dev/null && { echo "$$name is there"; exit 0; }; \
	done; \
	command -v apt-get >/dev/null || { echo "make browser needs apt-get: install chromium another way"; exit 1; }; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	for attempt in 1 2; do \
	  $$as_root apt-get update -qq; \
	  $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core && exit 0; \
	done; \
	echo "apt-get could not install chromium; without it, make test skips the tests in a browser"; exit 1

check: install ## Lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schema: install ## Write suites/suite.schema.json and docs/tables.md anew
	$(BIN)/bench schema > suites/suite.schema.json
	$(BIN)/bench schema --tables > docs/tables.md

reference: install ## Run suites and take them over as the package's reference results (half an hour; SUITES="theory claims/he-2015" for others)
	@for suite in $(SUITES); do $(BIN)/bench run suites/$$suite.toml || exit 1; done
	$(BIN)/python -m benchmarks.reference $(addprefix reports/,$(notdir $(SUITES)))

causes: install ## Train networks with planted causes and write how often docs/rules.md names them (about 3 minutes)
	$(BIN)/python -m benchmarks.causes

speed: install $(JAX) ## Race the engine against a Keras loop, Model.fit and JAX (at most 15 minutes on 2 cores)
	$(BIN)/python -m benchmarks.speed

speed-full: install $(JAX) ## The same with more rounds and sizes, and the default suite from end to end (over an hour)
	$(BIN)/python -m benchmarks.speed --effort full

drill: install ## Kill, freeze, fill and damage on purpose, continue, compare (long)
	$(BIN)/python -m benchmarks.drills

clean: ## Remove .venv, caches and build leftovers; results stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
