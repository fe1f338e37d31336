# One virtual environment for everything, made when missing or when pyproject.toml changed. The demo needs a part of it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := .venv/.demo-ready
RIVALS := .venv-rivals
RELEASE := .venv-release
LOCK := $(RELEASE)/bin/uv pip compile --quiet --universal --generate-hashes --upgrade --custom-compile-command 'make constraints'
PIP_INSTALL := bin/pip install --quiet --disable-pip-version-check
VERSION := sed -n 's/^__version__ = "\(.*\)"/\1/p' customer_sync/__init__.py
# The tests wait more than they work.
AT_ONCE := $(shell expr 3 \* $$(getconf _NPROCESSORS_ONLN))

.DEFAULT_GOAL := help
.PHONY: help demo sandbox record test conformance test-cron histories acceptance kills mutants bench bench-long bench-rivals check format constraints audit sbom version clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(DEMO) ## the whole story on the embedded Pancake and FolkForm
	@$(BIN)/customer-sync demo

sandbox: $(DEMO) ## serve the embedded Pancake and FolkForm until Ctrl-C
	@$(BIN)/customer-sync sandbox

record: $(READY) ## record the commands anew: docs/recording.*, and their output in docs/*.md
	@$(BIN)/python -m tests.record

test: $(READY) ## run every test
	@$(BIN)/pytest -q -n $(AT_ONCE) --dist worksteal

conformance: $(READY) ## ask the FolkForm at BASE what two real servers were asked (SERVER=2026-04: that one)
	@$(BIN)/python -m tests.conformance $(BASE) $(SERVER)

test-cron: $(READY) ## let a real cron run crontab.example on the sandbox; up to two minutes
	@$(BIN)/pytest -q tests/real_cron.py

histories: $(READY) ## 1,500 random histories, each to end with no customer lost
	@PROFILE=$${PROFILE:-ci} $(BIN)/pytest -q tests/histories

acceptance: $(READY) ## 3 pages × 5,000 customers in every dialect, both passes
	@ACCEPTANCE_CUSTOMERS=5000 $(BIN)/pytest -q tests/test_passes.py -k acceptance

kills: $(READY) ## kill passes at every one of their requests; about an hour
	@KILLS=all $(BIN)/pytest -q -n $(AT_ONCE) tests/test_kills.py

mutants: $(READY) ## take out the rules that prevent a loss, one by one: a test turns red for each
	@$(BIN)/python -m tests.mutants $(ONLY)

bench: $(READY) ## measure customer-sync beside its rivals; a few minutes
	@$(BIN)/python -m tests.benchmarks $(GROUPS)

bench-long: $(READY) ## the large histories, a million customers (CUSTOMERS=50000: fewer), and the memory of 64 pages; over an hour
	@$(BIN)/python -m tests.benchmarks --long --json .bench/bench-long.json $(CUSTOMERS:%=--customers=%) $(GROUPS)

bench-rivals: $(RIVALS)/.ready ## install dlt, the rival of `make bench` that needs an environment of its own

check: $(READY) ## format, lint and types; the image's recipe, too
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/hadolint --failure-threshold style deploy/Dockerfile

format: $(READY) ## put the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

constraints: $(RELEASE)/.ready ## take the newest versions, with hashes: constraints.txt and constraints-build.txt
	@$(LOCK) --extra metrics --output-file constraints.txt pyproject.toml
	@echo hatchling | $(LOCK) --python-version 3.11 --output-file constraints-build.txt -

audit: $(RELEASE)/.ready ## ask PyPI for known vulnerabilities of what the two files list
	@$(RELEASE)/bin/pip-audit --strict --progress-spinner off --require-hashes --disable-pip -r constraints.txt -r constraints-build.txt

sbom: $(RELEASE)/.ready ## list what the image installs, as CycloneDX: dist/customer-sync.cdx.json
	@$(RELEASE)/bin/uv venv --quiet --clear --python $(RELEASE)/bin/python build/image
	@$(RELEASE)/bin/uv pip install --quiet --python build/image --require-hashes --requirement constraints.txt
	@mkdir -p dist
	@sed "s/^dynamic = .*/version = \"$$($(VERSION))\"/" pyproject.toml >build/pyproject.toml
	@$(RELEASE)/bin/cyclonedx-py environment --output-reproducible --pyproject build/pyproject.toml \
	  --output-file dist/customer-sync.cdx.json build/image

version: ## print the version
	@$(VERSION)

clean: ## remove the virtual environments and every cache
	rm -rf .venv $(RIVALS) $(RELEASE) .bench .mypy_cache .pytest_cache .ruff_cache build dist

$(DEMO): pyproject.toml | .venv/bin/pip
	@echo "Installing customer-sync and its sandbox into .venv …"
	@.venv/$(PIP_INSTALL) --editable '.[sandbox]'
	@touch $@

$(READY): pyproject.toml | .venv/bin/pip
	@echo "Installing customer-sync and its tools into .venv …"
	@.venv/$(PIP_INSTALL) --editable '.[dev]'
	@touch $(DEMO) $@

$(RIVALS)/.ready: tests/benchmarks/rivals/requirements.txt | $(RIVALS)/bin/pip
	@echo "Installing dlt into $(RIVALS) …"
	@$(RIVALS)/$(PIP_INSTALL) --requirement $<
	@touch $@

$(RELEASE)/.ready: | $(RELEASE)/bin/pip
	@echo "Installing uv, pip-audit and cyclonedx-bom into $(RELEASE) …"
	@$(RELEASE)/$(PIP_INSTALL) 'uv>=0.9' 'pip-audit>=2.9' 'cyclonedx-bom>=7'
	@touch $@

# pip is what venv installs last: an environment without it was not finished.
%/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "customer-sync needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)" >&2; \
	  echo "Choose another Python: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
	  echo "Install them (on Debian and Ubuntu: sudo apt-get install python3-venv), then: make $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $*
