# `make help` lists the commands. Everything stays inside the clone: .tools (uv, caches), .venv (packages), .parley (data).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Variables of another Python environment must not affect this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
PYTEST := $(PY) -m pytest
# Four workers on two cores: tests wait as long as they compute.
WORKERS := -n 4 --dist loadfile --no-loadscope-reorder
# Arguments for the command of a target, for example: make test ARGS='-k limits -x'
ARGS ?=

##@ Use

.PHONY: run
run: setup ## Start everything on this machine; press Ctrl-C to stop
	@exec .venv/bin/parley run $(ARGS)

.PHONY: up
up: ## Start everything in containers (Docker with compose) and wait until it is healthy
	@deploy/docker/make-secrets
	@docker compose up --build --detach --wait $(ARGS)
	@echo "Parley runs. The first administrator: docker compose exec auth parley admin create-admin NAME"

.PHONY: down
down: ## Stop the containers; keeps the data
	@docker compose --profile '*' down $(ARGS)

.PHONY: doctor
doctor: setup ## Check the running system, or what `make run` needs; starts nothing
	@exec .venv/bin/parley doctor $(ARGS)

.PHONY: setup
setup: ## Install uv and the pinned packages into the clone; fast when nothing changed
	@scripts/setup

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Test

# $(call tiers,SELECTION): the selected tests in two calls of pytest, first those that may share the machine, in workers,
# then those that measure time or need every core, one by one, of which only the files are collected. The second call runs
# even if the first failed; both closing lines are shown at the end.
# A call that selects nothing (status 5) is right only when ARGS selects.
define tiers
	@logs=.pytest_cache/tiers; mkdir -p $$logs; rm -f $$logs/*; trap 'exit 130' INT; failed=0; \
	color=$$([ -t 1 ] && echo yes || echo no); \
	run() { $(PYTEST) --color=$$color "$${@:3}" $(ARGS) -m "$$2" | tee -i $$logs/$$1 \
		|| { status=$$?; $(if $(ARGS),[ $$status = 5 ] ||) failed=1; }; }; \
	run 1-shared "$(1) and not alone" $(WORKERS); \
	run 2-alone "$(1) and alone" $(if $(ARGS),,$$(grep -rlF mark.alone --include="test_*.py" cli libs services tests)); \
	echo; tail -qn1 $$logs/*; exit $$failed
endef

.PHONY: test
test: setup ## Run all tests except chaos; they start and stop the servers they need
	$(call tiers,not chaos)

.PHONY: test-unit
test-unit: setup ## Run the unit tests, which need no servers
	@$(PYTEST) -m "not integration and not e2e and not chaos" $(ARGS)

.PHONY: test-integration
test-integration: setup ## Run the integration tests, which use Postgres, Redis and RabbitMQ
	$(call tiers,integration and not chaos)

.PHONY: test-e2e
test-e2e: setup ## Run the end-to-end tests of the whole product
	@$(PYTEST) -m "e2e and not chaos" $(ARGS)

.PHONY: test-clients
test-clients: setup ## Run the clients and frameworks of others against the product, each with its own packages
	@$(PYTEST) -m "e2e or chaos" tests/clients $(ARGS)

.PHONY: storage-test
storage-test: setup ## Run the files of users on S3, Google Cloud Storage and Azure, as emulators; needs Go, downloads 400 MB once
	@scripts/storage-test $(ARGS)

.PHONY: coverage
coverage: setup ## Measure branch coverage of the unit and integration tests; prints a table of the packages
	@$(PY) -m coverage erase
	@failed=0; $(PY) -m coverage run -m pytest $(WORKERS) -m "not (alone or e2e or chaos)" $(ARGS) || failed=1; \
	$(PY) -m coverage combine --quiet; $(PY) scripts/coverage_table.py; exit $$failed

.PHONY: fresh
fresh: ## Try the current commit on a minimal Debian: SUITE=bookworm, trixie or sid; needs root and debootstrap
	@scripts/fresh $(SUITE)

.PHONY: isolated
isolated: ## Install each package alone, import it, run its unit tests
	@scripts/check-isolation $(ARGS)

.PHONY: query-plans
query-plans: setup ## Measure the statements in docs/query-plans.md, and write its table
	@$(PY) scripts/query_plans.py

.PHONY: chaos
chaos: setup ## Run the long fault tests: kills, freezes and network faults
	@$(PYTEST) -m chaos --ignore=tests/security --ignore=tests/images --ignore=tests/compose --ignore=tests/cluster --ignore=tests/storage $(ARGS)

.PHONY: blackout
blackout: setup ## Break each dependency and replica under load and measure: ARGS="redis --fault vanished", ARGS=--write
	@PYTHONPATH=tests/support $(PY) -m blackout $(ARGS)

.PHONY: soak
soak: setup ## Break things at random for MINUTES (10) under load: nothing is lost, and no process grows
	@PYTHONPATH=tests/support $(PY) -m blackout.soak --minutes $(or $(MINUTES),10) $(ARGS)

.PHONY: rolling-test
rolling-test: setup ## Replace every process in turn under streams and requests (ROLLING_STREAMS=100 ROLLING_RATE=50 ROLLING_FROM=<other clone>/.venv/bin)
	@$(PYTEST) -m chaos -s tests/faults/test_rolling_upgrade.py $(ARGS)

.PHONY: event-drill
event-drill: setup ## Kill and cut all between turns and their subscribers (DRILL_TURNS=3000); reports lag and catch-up rate
	@DRILL_TURNS=$${DRILL_TURNS:-3000} $(PYTEST) -m chaos -s tests/faults/test_event_drill.py $(ARGS)

.PHONY: asyncapi-check
asyncapi-check: setup ## Parse docs/asyncapi.yaml with AsyncAPI's parser, and compile the models that Modelina makes of it
	@scripts/asyncapi/check

.PHONY: security
security: setup ## Check code and dependencies for known weaknesses, then attack the product; needs minutes
	@scripts/security $(ARGS)

.PHONY: images-test
images-test: setup ## Build the images with Docker and run each of them; needs minutes
	@$(PYTEST) tests/images -m "" -p no:xdist -s $(ARGS)

.PHONY: compose-test
compose-test: setup ## Start the compose file with Docker, break it, upgrade it, rotate its secrets; needs minutes
	@$(PYTEST) tests/compose -m "" -p no:xdist -s $(ARGS)

.PHONY: cluster-test
cluster-test: setup ## Install Parley in the cluster of KUBECONFIG, disturb it, remove it (docs/cluster.md); needs half an hour
	@$(PYTEST) tests/cluster -m "" -p no:xdist -s $(ARGS)

.PHONY: test-browser
test-browser: setup ## Drive the console in Chromium, and take screenshots of every view; downloads Chromium unless CHROMIUM=path or installed
	@scripts/console test-browser

.PHONY: test-browser-smoke
test-browser-smoke: setup ## One short visit of the console in Chromium, in a minute: log in, stream, stop, reload, two tabs, the rules of axe on every view
	@scripts/console test-browser-smoke

.PHONY: bench
bench: setup ## Run the benchmarks of the whole product
	@$(PY) tests/bench/run.py $(ARGS)

.PHONY: bench-gateway
bench-gateway: setup ## Run the benchmark of the gateway
	@$(PY) tests/bench/run.py gateway $(ARGS)

.PHONY: bench-watch
bench-watch: setup ## Measure what logs, metrics and traces cost the gateway
	@$(PY) tests/bench/run.py watch $(ARGS)

.PHONY: bench-history
bench-history: setup ## Run the benchmark of reading and searching a million messages
	@$(PY) tests/bench/run.py history_reads $(ARGS)

.PHONY: bench-events
bench-events: setup ## Measure the subscriber kit beside bare aio-pika
	@$(PY) tests/bench/run.py events $(ARGS)

.PHONY: bench-catch-up
bench-catch-up: setup ## Measure a subscriber that missed 100,000 events, and a replay of them while new ones come
	@$(PY) tests/bench/run.py events --events 100000 --keys 2000 --rounds 1 --alone $(ARGS)

##@ Check

.PHONY: check
check: format-check lint types imports dependencies addresses migrations docs-check console-sources chart install-yaml-check version-check lock-check ## Run every check except the tests

.PHONY: format
format: setup ## Format the code and sort its imports
	@.venv/bin/ruff check --select I --fix --quiet
	@.venv/bin/ruff format

.PHONY: format-check
format-check: setup
	@.venv/bin/ruff format --check

.PHONY: lint
lint: setup ## Check for errors and style
	@.venv/bin/ruff check
	@for script in scripts/asyncapi/check scripts/bootstrap scripts/environment.sh scripts/check-isolation scripts/console scripts/fresh scripts/helm scripts/lint-manifests scripts/lock scripts/openapi-client scripts/release scripts/security scripts/setup scripts/storage-test deploy/docker/install-sources deploy/docker/make-secrets deploy/docker/rotate-secrets deploy/docker/upgrade deploy/k8s/make-secrets deploy/k8s/keep-replicas .ci/run; do bash -n $$script; done

.PHONY: types
types: setup ## Check the types
	@.venv/bin/mypy

.PHONY: imports
imports: setup ## Check the import rules (.importlinter)
	@.venv/bin/lint-imports --no-logo

.PHONY: dependencies
dependencies: setup ## Check that each package declares what it imports, and imports what it declares
	@$(PY) scripts/check_dependencies.py

.PHONY: addresses
addresses: setup
	@$(PY) scripts/check_addresses.py

.PHONY: migrations
migrations: setup ## Check that no migration blocks writes or breaks the previous release, and that their numbers are unique
	@$(PY) scripts/check_migrations.py

.PHONY: docs
docs: setup ## Write the generated documents
	@$(PY) scripts/docs.py
	@$(PY) scripts/monitoring.py

.PHONY: docs-check
docs-check: setup ## Fail if a generated document is out of date or a link is broken
	@$(PY) scripts/docs.py --check
	@$(PY) scripts/monitoring.py --check
	@$(PY) scripts/check_links.py

.PHONY: helm
helm: setup ## Lint the Helm chart and write its renderings, after a change of the chart
	@scripts/helm write

.PHONY: helm-check
helm-check: setup ## Fail if the Helm chart is malformed or its renderings are out of date
	@scripts/helm check

.PHONY: k8s-lint
k8s-lint: setup ## Run Checkov, yamllint and hadolint over the manifests, the chart and the Dockerfile
	@scripts/lint-manifests

.PHONY: chart
chart: setup
	@$(PY) scripts/check_chart.py

.PHONY: install-yaml
install-yaml: setup ## Write deploy/k8s/install.yaml, the base as one file
	@.venv/bin/kubectl kustomize deploy/k8s/base >deploy/k8s/install.yaml

.PHONY: install-yaml-check
install-yaml-check: setup
	@.venv/bin/kubectl kustomize deploy/k8s/base | cmp --silent - deploy/k8s/install.yaml || \
		{ echo "deploy/k8s/install.yaml is out of date: run make install-yaml"; exit 1; }

.PHONY: console
console: setup ## Build the console into the gateway's package, after a change in console/ or of the API
	@scripts/console build

.PHONY: console-serve
console-serve: setup ## Serve the console from its sources, in front of a running `make run`; changes show at once
	@scripts/console serve

.PHONY: console-check
console-check: setup ## Fail if building the console would change a byte; run the unit tests of its client
	@scripts/console check

.PHONY: console-sources
console-sources: setup
	@$(PY) scripts/check_console.py

.PHONY: lock
lock: setup ## Pin the dependencies of the pyproject files; ARGS=--upgrade updates all pins
	@scripts/lock $(ARGS)

.PHONY: version-check
version-check: setup
	@$(PY) scripts/version.py --check

.PHONY: lock-check
lock-check: setup ## Fail if the pins do not match the pyproject files
	@scripts/lock --check

##@ Release

.PHONY: version
version: setup ## Set the version everywhere: make version VERSION=1.2.3. "Unreleased" of CHANGELOG.md becomes its section
	@$(PY) scripts/check_chart.py
	@$(PY) scripts/version.py set $(VERSION)
	@$(PY) scripts/check_chart.py --digest >deploy/helm/rendered/chart.sha256
	@$(PY) scripts/docs.py

.PHONY: release
release: setup ## Make the files of a release in dist: ARGS="--key FILE" signs them with a key of ssh-keygen, or ARGS=--unsigned
	@scripts/release $(ARGS)

##@ Clean

.PHONY: clean
clean: ## Remove caches; keeps the data in .parley
	@find . \( -path ./.git -o -path ./.venv -o -path ./.tools -o -path ./.parley -o -name node_modules \) -prune -o \
		-type d -name __pycache__ -prune -exec rm -rf {} +
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* build dist

.PHONY: distclean
distclean: clean ## Remove caches, .venv and .tools; keeps the data in .parley
	@rm -rf .venv .tools
