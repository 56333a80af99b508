# The commands of this clone. Each target sets up what it needs; `make setup` does nothing if it is up to date.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests start many Python processes, which compiled modules speed up.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
# Programs that some tests use, and the Debian package of each.
TOOLS := soffice:libreoffice-calc chromium:chromium ip:iproute2
LOWEST_VENV := .venv-lowest
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready

.PHONY: help setup tools demo up down test test-fast test-lowest test-wheel test-slow test-containers pin-images lint bench lock

help: ## show this list
	@grep -hE '^[.a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([.a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

setup: $(READY) ## create .venv from the lock files, with the quire command

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("quire needs Python 3.11 to 3.13, this is %d.%d: make setup PYTHON=python3.12" % v)'
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements-dev.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.txt
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-dev.txt
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

tools: ## install programs that some tests use, from Debian's packages (as root)
	@missing=$$(for tool in $(TOOLS); do command -v $${tool%%:*} > /dev/null || echo $${tool##*:}; done); \
	[ -z "$$missing" ] || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } > /dev/null

demo: setup ## start PostgreSQL, S3 and Airflow, run the flights report, fill out/, stop
	@$(BIN)/python -m quire.dev_stack demo

up: setup ## start PostgreSQL, S3 and Airflow on this machine and keep them running
	@$(BIN)/python -m quire.dev_stack up

down: setup ## stop what `make up` started
	@$(BIN)/python -m quire.dev_stack down

test: setup ## run all tests but the slow and container tests, against real servers
	@$(PYTEST) --numprocesses 3 --dist loadgroup

test-fast: setup ## run the tests that need no server
	@$(PYTEST) --fast --numprocesses 2 --dist worksteal --durations 10 --durations-min 1

test-lowest: setup ## run the fast tests with the lowest versions that pyproject.toml allows
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST_VENV)
	@$(BIN)/uv pip compile --quiet --resolution lowest-direct --python $(BIN)/python pyproject.toml -o $(LOWEST_VENV)/lowest.txt
	@VIRTUAL_ENV="$(CURDIR)/$(LOWEST_VENV)" $(BIN)/uv pip install --quiet --compile-bytecode -r $(LOWEST_VENV)/lowest.txt -r requirements-dev.in
	@VIRTUAL_ENV="$(CURDIR)/$(LOWEST_VENV)" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@env -u PYTHONDONTWRITEBYTECODE $(LOWEST_VENV)/bin/python -m pytest --fast --numprocesses 2 --dist worksteal

test-wheel: setup ## install the wheel in a new Airflow and run a report there
	@$(PYTEST) -m slow --timeout 3600 tests/packaging

test-slow: setup ## run the tests with millions of rows, which take minutes
	@$(PYTEST) -m slow --timeout 3600

test-containers: setup ## test the container stack; skipped without a Docker engine
	@$(PYTEST) -m container --timeout 3600 tests/container

.env: ## create the settings of docker-compose.yaml, with new secrets
	@containers/new-secrets.sh

pin-images: ## pin base images to their current digests; needs Docker and a registry
	@containers/pin-images.sh

lint: setup ## run ruff (check and format) and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup $(BENCH_READY) ## run the benchmarks against peers; results go to benchmarks/results/
	@$(BIN)/python -m benchmarks

$(BENCH_READY): requirements-bench.txt
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@VIRTUAL_ENV="$(CURDIR)/$(BENCH_VENV)" $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-bench.txt
	@touch $@

lock: setup ## update the requirements*.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml requirements-dev.in -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements-dev.txt pyproject.toml requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements-dev.txt pyproject.toml requirements-container.in -o requirements-container.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements-bench.in -o requirements-bench.txt
