# The commands of this clone. Every target sets up what it needs; `make setup` alone is quick when done.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Programs that some tests use, each with Debian's package that has it.
TOOLS := soffice:libreoffice-calc chromium:chromium ip:iproute2
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready

.PHONY: help setup tools demo up down test test-fast test-slow test-containers pin-images lint bench lock

help: ## this list
	@grep -hE '^[.a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([.a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) ## .venv from the lock files, with the quire command in it

$(READY): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("quire needs Python 3.11 to 3.13, this is %d.%d: make setup PYTHON=python3.12" % v)'
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements-dev.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.txt
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-dev.txt
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

tools: ## the programs that some tests use, from Debian's packages (as root)
	@missing=$$(for tool in $(TOOLS); do command -v $${tool%%:*} > /dev/null || echo $${tool##*:}; done); \
	[ -z "$$missing" ] || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } > /dev/null

demo: setup ## the whole way once: database, storage, Airflow, the flights report, links, out/
	@$(BIN)/python -m quire.local_stack demo

up: setup ## PostgreSQL, S3 and Airflow on this machine, kept running
	@$(BIN)/python -m quire.local_stack up

down: setup ## stops what `make up` started
	@$(BIN)/python -m quire.local_stack down

test: setup ## every test, against real PostgreSQL, S3 and Airflow
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

test-fast: setup ## the tests that need no server, in under a minute
	@$(BIN)/python -m pytest --fast --numprocesses 2

test-slow: setup ## the tests of millions of rows, for minutes
	@$(BIN)/python -m pytest -m slow --timeout 3600

test-containers: setup ## the container stack, really run: needs a Docker engine, and skips without one
	@$(BIN)/python -m pytest -m container --timeout 3600 tests/container

.env: ## what docker-compose.yaml needs, with secrets of its own
	@containers/new-secrets.sh

pin-images: ## base images of the container stack to their digests of today: needs Docker and a registry
	@containers/pin-images.sh

lint: setup ## ruff (check and format) and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup $(BENCH_READY) ## against peers, as a table and as JSON under benchmarks/results/
	@$(BIN)/python -m benchmarks

$(BENCH_READY): requirements-bench.txt
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@VIRTUAL_ENV="$(CURDIR)/$(BENCH_VENV)" $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-bench.txt
	@touch $@

lock: setup ## remakes the requirements*.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml requirements-dev.in -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements-dev.txt pyproject.toml requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -c requirements-dev.txt pyproject.toml requirements-container.in -o requirements-container.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate requirements-bench.in -o requirements-bench.txt
