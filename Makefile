# Everything that one does with a checkout. `make` alone says what there is.
#
# The environment is .venv; what was done is remembered in stamp files there, so that a second run is quick.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
PY := $(VENV)/bin/python
TOOLS := $(PY) extension/toolchain.py
PYTEST_ARGS ?=
JOBS ?= auto
SOAK_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help env build test test-js test-py test-releases test-all lint format bench soak demo clean browser sshd

help: ## Say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

# -- environment -------------------------------------------------------------------------------------------------------

$(PY):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Next: install one, or make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# An editable installation; it builds the JupyterLab extension on the way (extension/hatch_build.py).
$(VENV)/.installed: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@node="$$($(TOOLS) node)"; test -z "$$node" || $(PY) -m pip install --quiet --disable-pip-version-check "$$node"
	@touch $@

env: $(VENV)/.installed ## Make .venv with all that development needs, and install the project into it

build: $(VENV)/.installed ## Build the JupyterLab extension, when its sources changed
	@$(TOOLS) build

# -- tests -------------------------------------------------------------------------------------------------------------

# The browser tests drive the system's Chromium: Debian's package where we may install it, else one line says what to do.
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing Chromium for the browser tests"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
		else \
			echo "Chromium is missing, so the browser tests are skipped. Next: install the package chromium of your system."; \
		fi; }

# The guide to SSH logs in on this machine.
sshd:
	@command -v sshd /usr/sbin/sshd >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing sshd for the test of the guide to SSH"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openssh-server >/dev/null; \
		else \
			echo "sshd is missing, so one test is skipped. Next: install the package openssh-server of your system."; \
		fi; }

test: build browser sshd test-js test-py ## Run every test: TypeScript, Python, server, notebooks, real browser

test-js: build ## Run the tests of the extension (jest)
	@$(TOOLS) run jest

# All tests are shared among JOBS processes, a file at a time. Some (PYTEST_ARGS) run in one: to start others takes longer than they do.
test-py: build ## Run the tests in Python (PYTEST_ARGS="-k name" for some, JOBS=1 for one after the other)
	$(PY) -m pytest $(or $(PYTEST_ARGS),-n $(JOBS) --dist loadfile --no-loadscope-reorder)

test-releases: build browser ## Look at the panel in the oldest and the newest JupyterLab and Notebook that it is for, each in an environment of its own
	rm -rf .releases
	WORKBENCH_RELEASES=.releases $(PY) -m pytest tests/ui/test_releases.py

test-all: build browser ## Run the Python tests on each supported Python of this machine (nox)
	$(PY) -m nox

# -- quality -----------------------------------------------------------------------------------------------------------

lint: build ## Check style and types, Python and TypeScript
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	@$(TOOLS) run eslint --max-warnings 0 src
	@$(TOOLS) run tsc --noEmit -p tsconfig.test.json
	@$(TOOLS) run prettier --log-level warn --check .
	@$(TOOLS) run stylelint 'style/**/*.css'

format: build ## Format what can be formatted
	$(PY) -m ruff check --fix-only
	$(PY) -m ruff format
	@$(TOOLS) run eslint --fix src
	@$(TOOLS) run prettier --log-level warn --write .
	@$(TOOLS) run stylelint --fix 'style/**/*.css'

bench: $(VENV)/.installed ## Measure: every figure beside a memcpy of the same bytes in the same run and beside other stores
	$(PY) -m tests.benchmarks --full --neighbours --rounds 3 --json .bench/figures.json

soak: $(VENV)/.installed ## Load one store from six processes for 15 minutes, with kills (SOAK_ARGS="--seconds 60 --seed 1"); then a million races
	$(PY) -m tests.integration.faults.soak $(SOAK_ARGS)
	WORKBENCH_KILLS=5000 WORKBENCH_RACES=1000000 WORKBENCH_CLUSTER_KILLS=100 WORKBENCH_ALL_PYTHONS=1 $(PY) -m pytest tests/integration/faults -m "not packaging" -q

# -- use ---------------------------------------------------------------------------------------------------------------

demo: build ## Start a two-node cluster and JupyterLab on the first notebook; Ctrl-C stops all of it
	$(PY) -m workbench.jupyter.demo

clean: ## Remove what was made here: environment, bundle, caches
	rm -rf $(VENV) .nox .bench .releases build dist workbench/labextension workbench/jupyter/widget/static extension/lib extension/node_modules extension/coverage
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/ui/screenshots
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
