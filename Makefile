# InferPlan: `make demo` shows the whole loop on real parts, `make test` checks everything. Both set up what they need.
.DEFAULT_GOAL := help
PY := .venv/bin/python
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)/lab
# Which cluster: local (our own etcd and API server), kind (needs Docker), current (your kubeconfig).
CLUSTER ?= local

.PHONY: help
help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 22

.PHONY: setup
setup: ## Install the locked Python packages into .venv
	@scripts/setup

.PHONY: demo
demo: setup ## Run the whole loop on real parts: cluster, Prometheus, engine pods, operator, a plan
	@$(PY) -m inferplan_lab.demo up --cluster $(CLUSTER)

.PHONY: demo-apply
demo-apply: setup ## Approve the demo's plan, and see what it brings
	@$(PY) -m inferplan_lab.demo apply --cluster $(CLUSTER)

.PHONY: demo-down
demo-down: setup ## Stop what `make demo` left running
	@$(PY) -m inferplan_lab.demo down --cluster $(CLUSTER)

.PHONY: test
test: lint types contracts tests ## Check everything: lint, types, layers, all tests

.PHONY: lint
lint: setup ## Style, and no Python file directly in operator/ (it would shadow the standard library)
	@! ls operator/*.py 2>/dev/null || { echo "lint: operator/ is a source root; it never holds a Python file itself"; exit 1; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --check --quiet . || { echo "lint: run make format"; exit 1; }

.PHONY: types
types: setup ## Types, strictly
	@.venv/bin/mypy --no-error-summary

.PHONY: contracts
contracts: setup ## Layers point down only
	@PYTHONPATH=operator .venv/bin/lint-imports

.PHONY: tests
tests: setup ## All tests, those on the real API server included
	@$(PY) -m inferplan_lab.binaries >/dev/null
	@.venv/bin/coverage erase
	@.venv/bin/coverage run -m pytest tests/unit tests/properties tests/scenarios tests/contract
	@.venv/bin/coverage report --include='*/inferplan/optimizers/*,*/inferplan/engine/*,*/inferplan/diagnose/*' --fail-under=100
	@.venv/bin/pytest -n 2 --dist loadfile tests/lab tests/cluster

.PHONY: crds
crds: setup ## Generate crds/ from the models
	@$(PY) -m inferplan.api.crd crds

.PHONY: format
format: setup ## Format and fix what can be fixed
	@.venv/bin/ruff check --quiet --fix . || true
	@.venv/bin/ruff format --quiet .

.PHONY: lock
lock: setup ## Renew requirements/*.lock from pyproject.toml (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url pyproject.toml -o requirements/runtime.lock
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url pyproject.toml --group dev -c requirements/runtime.lock -o requirements/dev.lock

.PHONY: image
image: ## Build the operator's image (needs Docker; CONTAINER_TOOL=buildah works too)
	@$${CONTAINER_TOOL:-docker} build -t inferplan/operator:dev .
