# The everyday commands. `make help` lists them; nothing here needs an environment variable.

PYTHON ?= python3
BIN    := .venv/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ALONE  := $(MAKE) --no-print-directory
# Suites of `make test-all` and `make test-cluster` only.
SLOWER := chaos cluster observability
# The suites of `make test-all`, in order; `.ci/run` measures each.
SUITES := lint coverage test-slow test-observability test-chaos
# More workers than cores, because many tests wait for a timeout or for a process.
QUICK  := -n 4 --dist loadgroup -m "not slow" $(addprefix --ignore=tests/,$(SLOWER))
# Failed tests are rerun once, alone, and reported as flaky if they pass then (deploy/docs/testing.md).
RERUN  := $(BIN)/python tests/support/rerun_failed.py $(BIN)/pytest
# Programs of the tests, whose folder is on the path, as it is for pytest.
MODULE := PYTHONPATH=$(CURDIR)/tests $(BIN)/python -m

AUDIT  := deploy/tools/audit

# A container image often sets it, and then each of the suites' many processes would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up down test coverage test-all suites test-slow test-observability test-chaos lint lock sbom audit audit-tools venv tools tools-all ready ready-all chart-docs generate histories bench bench-orders bench-store bench-workers bench-fleet bench-waiting bench-compare capacity chaos soak image pin-images kind kind-down test-cluster clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: ready ## start everything and follow one order until its status is shipped
	@$(BIN)/orderfleet demo happy

up: ready ## start the local stack and leave it running
	@$(BIN)/orderfleet stack up

down: ## stop the local stack; data stays
	@test ! -x $(BIN)/orderfleet || $(BIN)/orderfleet stack down

test: ready-all ## what must pass before a change is merged: style, types, layers, tests
	@$(ALONE) lint
	$(BIN)/pytest $(QUICK)

coverage: ready-all ## the same tests, with coverage of all processes
	@rm -f .coverage .coverage.*
	$(BIN)/python tests/support/rerun_failed.py $(BIN)/coverage run -m pytest $(QUICK) -n 3
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-all: ready-all ## everything that needs no cluster: the same with coverage, and the slower tests
	@set -e; for suite in $(SUITES); do $(ALONE) $$suite; done

suites:
	@echo $(SUITES)

test-slow: ready-all ## the tests marked slow, without those of the next two
	$(RERUN) -n 3 --dist loadgroup -m slow $(addprefix --ignore=tests/,$(SLOWER))

test-observability: ready-all ## alerts, dashboards and runbooks against a real Prometheus
	$(RERUN) tests/observability

test-chaos: ready-all ## killed processes and outages, and the tests of the chaos run
	$(BIN)/pytest -s tests/chaos

lint: venv ## format, lint, types, import layers, image digests and terms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(PYTHON) deploy/tools/images.py check
	@$(PYTHON) deploy/tools/check_terms.py

lock: venv ## resolve the dependencies again and pin them with hashes
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		-c requirements.lock pyproject.toml --group dev -o tests/requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		$(AUDIT)/requirements.in -o $(AUDIT)/requirements.lock

sbom: audit-tools ## the image's packages as a CycloneDX file, from the lock file
	@mkdir -p dist
	@PYTHONWARNINGS=ignore .venv/audit/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --of JSON -o dist/orderfleet.cdx.json
	@echo "sbom: dist/orderfleet.cdx.json"

# To ask a service that has the API of osv.dev: make audit OSV=https://osv.example.com/v1/query
audit: audit-tools ## known vulnerabilities of the locked packages, from the package index's database; needs the network
	@.venv/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock \
		$(if $(OSV),--vulnerability-service osv --osv-url $(OSV))

audit-tools: venv
	@$(BIN)/uv venv --quiet --allow-existing .venv/audit
	@$(BIN)/uv pip install --quiet --system-certs --require-hashes --python .venv/audit/bin/python -r $(AUDIT)/requirements.lock

# The environment and the tools do not depend on each other, so both are made at the same time.
ready:
	@$(ALONE) -j2 venv tools
ready-all:
	@$(ALONE) -j2 venv tools-all

venv: ## make or update .venv from the lock file
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "venv: $(PYTHON) is older than 3.11; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@locked=$$(cat tests/requirements.lock pyproject.toml | cksum); \
	if [ "$$(cat .venv/.stamp 2>/dev/null)" != "$$locked" ]; then \
		set -e; began=$$(date +%s); echo "venv: installing from tests/requirements.lock"; \
		$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv; \
		sed -n '/^uv==/,/[^\\]$$/p' tests/requirements.lock > .venv/uv.lock; \
		$(PIP) --require-hashes -r .venv/uv.lock; \
		$(BIN)/uv pip install --quiet --system-certs --compile-bytecode --python $(BIN)/python \
			--require-hashes -r tests/requirements.lock || \
		{ echo "venv: uv failed; trying pip, which takes longer"; $(PIP) --require-hashes -r tests/requirements.lock; }; \
		$(PIP) --no-deps --no-build-isolation -e .; \
		echo "$$locked" > .venv/.stamp; echo "venv: ready after $$(($$(date +%s) - began)) s"; \
	fi

tools: ## provide kubectl, Temporal, etcd and kube-apiserver
	@PYTHONPATH=workers $(PYTHON) -m orderfleet_local.provision
tools-all:
	@PYTHONPATH=workers $(PYTHON) -m orderfleet_local.provision --all

# A run of less than two minutes: make bench BENCH='--rounds 1 --orders 100'
bench: ready ## Orderfleet and an empty fleet side by side on a new stack; needs an idle machine
	$(MODULE) bench run $(BENCH)

# A run with many other Orders: make bench-orders BENCH='--together 1000 --finished 10000', and the same with --waiting 20000.
bench-orders: ready-all ## Orders in Kubernetes: time to start, time to a status, the operator's cost
	$(MODULE) bench orders $(BENCH)

bench-store: ready ## the order store with 1,000,000 orders beside an empty one
	$(MODULE) bench store $(BENCH)

bench-workers: ready ## one and two order workers with a slow provider, and a worker's start time
	$(MODULE) bench workers $(BENCH)

bench-fleet: ready ## 1, 2, 4 and 8 order workers against a stub of Temporal, and the maximum of one worker
	$(MODULE) bench fleet $(BENCH)

bench-waiting: ready ## orders while 1,000 and 5,000 others wait for a review
	$(MODULE) bench waiting $(BENCH)

bench-compare: venv ## compare two runs: make bench-compare A=one.json B=other.json
	@$(MODULE) bench compare $(A) $(B)

MEASURED := .orderfleet/bench
capacity: venv ## write the benchmarks' results into deploy/docs/performance.md
	$(BIN)/python deploy/tools/capacity.py --write --run $(MEASURED).json --orders-run $(MEASURED)-orders.json \
		--fleet-run $(MEASURED)-fleet.json --waiting-run $(MEASURED)-waiting.json

IMAGE ?= orderfleet:dev
image: ## build the image of a release, on a base named by its digest: make image IMAGE=NAME:TAG
	@$(PYTHON) deploy/tools/images.py check
	docker build -f deploy/Dockerfile --build-arg REVISION=$$(git rev-parse HEAD) -t $(IMAGE) .

pin-images: ## write the current digest of each image's tag; needs docker and the network
	@$(PYTHON) deploy/tools/images.py pin

kind: ## a kind cluster from nothing to a shipped order; needs docker, kind, kubectl, helm
	@deploy/kind/up.sh

kind-down: ## delete the kind cluster and its registry
	@kind delete cluster --name orderfleet; docker rm -f orderfleet-registry >/dev/null 2>&1 || true

# Another chaos run: make chaos CHAOS="--orders 4000 --faults 400 --seed 7"
chaos: ready ## kill, freeze and disconnect every part while orders run, then check every promise; 30 min
	$(MODULE) chaos $(CHAOS)

# A longer run: make soak SOAK="--minutes 240"; a shorter one shows larger leaks only.
soak: ready ## memory, threads, files and connections of each role under a steady load; 60 min
	$(MODULE) soak $(SOAK)

# CLUSTER has the options for a cluster that may be deleted: --kubeconfig PATH [--cluster-program PROGRAM]
test-cluster: ready ## install, upgrade and break the product with real pods: make test-cluster CLUSTER='--kubeconfig PATH --disposable'
	$(BIN)/python -m pytest -s -x --timeout=1200 tests/cluster $(CLUSTER)

# A new shape: make histories SHAPE=0002-what-changed; the fingerprint of the newest again: make histories SHAPE=--commands
histories: ready-all ## record the workflows' histories with the current code
	$(MODULE) histories.record $(SHAPE)

chart-docs: venv ## generate the charts' values tables and schemas
	$(BIN)/python tests/charts/chart_docs.py

generate: venv ## renew every generated page, table, schema and dashboard
	$(BIN)/orderfleet settings --write deploy/docs/settings.md
	$(BIN)/python -m orderfleet.observability > deploy/docs/metrics.md
	$(BIN)/python deploy/tools/condition_docs.py
	$(BIN)/python deploy/dashboards/make.py
	@$(ALONE) chart-docs

clean: down ## remove the environment, the stack's data and every cache in the checkout
	rm -rf .venv .orderfleet .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage*
