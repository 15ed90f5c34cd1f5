# `make help` lists what there is. Everything lives in this clone: .tools (uv, caches), .venv (packages), .parley (your data).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Another environment's settings must not reach into this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

PY := .venv/bin/python
PYTEST := $(PY) -m pytest
# Three workers on two cores: tests wait more than they compute.
WORKERS := -n 3 --dist loadfile --no-loadscope-reorder
# Passed on to the command a target runs: make test ARGS='-k limits -x'
ARGS ?=

##@ Use

.PHONY: run
run: setup ## Start everything on this machine; Ctrl-C stops it
	@exec .venv/bin/parley run $(ARGS)

.PHONY: doctor
doctor: setup ## Check what `make run` needs, without starting anything
	@exec .venv/bin/parley doctor $(ARGS)

.PHONY: setup
setup: ## Install uv and the pinned packages into the clone; quick when nothing changed
	@scripts/setup

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Test

# $(call tiers,SELECTION): the selected tests in two calls of pytest, first those that may share the machine, in workers,
# then the others one by one. The second call runs even if the first failed; both closing lines are shown at the end.
# A call that selects nothing (status 5) is right only when ARGS selects.
define tiers
	@logs=.pytest_cache/tiers; mkdir -p $$logs; rm -f $$logs/*; trap 'exit 130' INT; failed=0; \
	color=$$([ -t 1 ] && echo yes || echo no); \
	run() { $(PYTEST) --color=$$color $(ARGS) "$${@:2}" | tee -i $$logs/$$1 \
		|| { status=$$?; $(if $(ARGS),[ $$status = 5 ] ||) failed=1; }; }; \
	run 1-shared $(WORKERS) -m "$(1) and not (alone or e2e)"; \
	run 2-alone -m "$(1) and (alone or e2e)"; \
	echo; tail -qn1 $$logs/*; exit $$failed
endef

.PHONY: test
test: setup ## Run all tests; they start the servers they need and stop them again
	$(call tiers,not chaos)

.PHONY: test-unit
test-unit: setup ## Run the tests that need no server
	@$(PYTEST) -m "not integration and not e2e and not chaos" $(ARGS)

.PHONY: test-integration
test-integration: setup ## Run the tests against a real Postgres, Redis and RabbitMQ
	$(call tiers,integration and not chaos)

.PHONY: test-e2e
test-e2e: setup ## Run the black-box tests of the whole product
	@$(PYTEST) -m "e2e and not chaos" $(ARGS)

.PHONY: coverage
coverage: setup ## Measure branch coverage of the unit and integration tests; prints a table of the packages
	@$(PY) -m coverage erase
	@failed=0; $(PY) -m coverage run -m pytest $(WORKERS) -m "not (alone or e2e or chaos)" $(ARGS) || failed=1; \
	$(PY) -m coverage combine --quiet; $(PY) scripts/coverage_table.py; exit $$failed

.PHONY: isolated
isolated: ## Install each package alone, import it, run its unit tests
	@scripts/isolated $(ARGS)

.PHONY: chaos
chaos: setup ## Kill and freeze what the product depends on, and watch its promises
	@$(PYTEST) -m chaos $(ARGS)

.PHONY: bench
bench: setup ## Measure the whole product
	@$(PY) tests/bench/run.py $(ARGS)

.PHONY: bench-gateway
bench-gateway: setup ## Measure what the gateway costs a request
	@$(PY) tests/bench/run.py gateway $(ARGS)

##@ Check

.PHONY: check
check: format-check lint types imports addresses docs-check lock-check ## Run every check but the tests

.PHONY: format
format: setup ## Format the code and sort its imports
	@.venv/bin/ruff check --select I --fix --quiet
	@.venv/bin/ruff format

.PHONY: format-check
format-check: setup
	@.venv/bin/ruff format --check

.PHONY: lint
lint: setup ## Look for mistakes and style
	@.venv/bin/ruff check
	@for script in scripts/bootstrap scripts/environment.sh scripts/isolated scripts/lock scripts/setup deploy/docker/make-secrets .ci/run; do bash -n $$script; done

.PHONY: types
types: setup ## Check the types
	@.venv/bin/mypy

.PHONY: imports
imports: setup ## Check who may import whom (.importlinter)
	@.venv/bin/lint-imports --no-logo

.PHONY: dependencies
dependencies: setup ## Check that each package declares what it imports, and imports what it declares
	@$(PY) scripts/check_dependencies.py

.PHONY: addresses
addresses: setup
	@$(PY) scripts/check_addresses.py

.PHONY: docs
docs: setup ## Write the generated pages in docs/
	@$(PY) scripts/docs.py

.PHONY: docs-check
docs-check: setup ## Fail if a generated page is out of date
	@$(PY) scripts/docs.py --check

.PHONY: lock
lock: setup ## Pin what the pyproject files ask for; ARGS=--upgrade moves all pins
	@scripts/lock $(ARGS)

.PHONY: lock-check
lock-check: setup ## Fail if the pins do not fit the pyproject files
	@scripts/lock --check

##@ Clean

.PHONY: clean
clean: ## Remove caches; never your data in .parley
	@find . \( -path ./.git -o -path ./.venv -o -path ./.tools -o -path ./.parley -o -name node_modules \) -prune -o \
		-type d -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* build dist

.PHONY: distclean
distclean: clean ## Remove .venv and .tools too; never your data in .parley
	@rm -rf .venv .tools
