# One virtual environment for everything, made when missing or when pyproject.toml changed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RIVALS := .venv-rivals
# The tests wait more than they work.
AT_ONCE := $(shell expr 3 \* $$(getconf _NPROCESSORS_ONLN))

.DEFAULT_GOAL := help
.PHONY: help demo sandbox record test conformance test-cron histories acceptance kills mutants bench bench-long bench-rivals check format clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(READY) ## the whole story on the embedded Pancake and FolkForm
	@$(BIN)/customer-sync demo

sandbox: $(READY) ## serve the embedded Pancake and FolkForm until Ctrl-C
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

clean: ## remove the virtual environments and every cache
	rm -rf .venv $(RIVALS) .bench .mypy_cache .pytest_cache .ruff_cache build dist

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing customer-sync and its tools into .venv …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(RIVALS)/.ready: tests/benchmarks/rivals/requirements.txt
	@test -x $(RIVALS)/bin/python || $(PYTHON) -m venv $(RIVALS)
	@echo "Installing dlt into $(RIVALS) …"
	@$(RIVALS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
