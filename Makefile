# make demo      what a newcomer runs first: sets everything up and plays the story
# make test      every gate and every test; .ci/run calls this
# make check     the static gates alone, in seconds
# make help      the rest
#
# Variables: INPUT=FILE (a bank's CSV for the demo), ARGS="…" (more words for the command or for pytest),
# PYTHON=… (the Python that makes .venv). Where something cannot be installed, tests fail and say so; LIANFANG_SKIP_BROKER=1
# and LIANFANG_SKIP_POSTGRES=1 leave its tests out, and the build server sets neither.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

BIN := .venv/bin
PACKAGES := bus schemas adapters audit deploy
PROTOS := schemas audit
BASELINE := tests/schemas/baseline.binpb
export RUFF_CACHE_DIR := .lianfang/ruff

GATES := format lint types imports dependencies proto generated

.PHONY: help setup broker softhsm demo demo-serve test tests check ci bench soak clean locks schemas baseline \
	$(GATES:%=gate-%)

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## make .venv from the lock file (nothing to do when it is current)
	@PYTHON='$(PYTHON)' deploy/local/bootstrap.sh

broker: setup ## install RabbitMQ from the distribution when it is missing
	@if [ -n "$$LIANFANG_SKIP_BROKER" ]; then echo 'lianfang: LIANFANG_SKIP_BROKER is set: RabbitMQ is left out' >&2; \
	else $(BIN)/python -m deploy.local.install; fi

softhsm: setup ## install SoftHSM from the distribution when it is missing: a token for tests
	@$(BIN)/python -m deploy.local.softhsm

demo: setup ## play the story; installs RabbitMQ when it is missing, leaves nothing running
	@$(BIN)/lianfang demo $(if $(INPUT),--input '$(INPUT)') $(ARGS)

demo-serve: setup ## the same, and leaves everything running until Ctrl-C
	@$(BIN)/lianfang demo --serve $(if $(INPUT),--input '$(INPUT)') $(ARGS)

test: check broker softhsm ## every gate and every test but the soak
	@$(MAKE) tests

tests: setup
	@$(BIN)/pytest -n 2 -m "not soak$${LIANFANG_SKIP_BROKER:+ and not broker and not faults}" $(ARGS)

check: setup ## the static gates: format, lint, types, imports, dependencies, schemas, generated code
	@$(MAKE) --jobs=2 --keep-going --output-sync=target $(GATES:%=gate-%)

gate-format:
	@$(BIN)/ruff format --check --quiet --output-format concise .
	@$(BIN)/buf format --diff --exit-code $(PROTOS:%=--path %)

gate-lint:
	@$(BIN)/ruff check --quiet .

gate-types:
	@$(BIN)/mypy --no-error-summary

gate-imports:
	@mkdir -p .lianfang && $(BIN)/lint-imports --no-logo --cache-dir .lianfang/imports >.lianfang/imports.txt || \
	{ cat .lianfang/imports.txt; exit 1; }

gate-dependencies:
	@$(BIN)/deptry $(PACKAGES) >.lianfang/deptry.txt 2>&1 || { cat .lianfang/deptry.txt; exit 1; }

gate-proto:
	@$(BIN)/buf lint
	@$(BIN)/buf breaking --against $(BASELINE)

gate-generated:
	@$(BIN)/python -m schemas.generate --check
	@$(BIN)/python -m schemas.plans --check

ci: ## all of it on a clean clone with a new HOME, and the wheel installed alone
	@.ci/clone

ADD = $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r

bench: setup ## measure against rivals; prints a table and writes .lianfang/bench/latest.json
	@$(ADD) deploy/locks/bench.txt || echo 'lianfang: the rivals cannot be installed: measured without them' >&2
	@$(BIN)/python -m tests.bench $(ARGS)

soak: broker ## the long runs: 3,000 orders while processes are killed; every reader fuzzed
	@$(ADD) deploy/locks/soak.txt
	@$(BIN)/pytest -m soak -s --timeout 14400 $(ARGS)

schemas: setup ## generate code and stubs from the .proto files
	@$(BIN)/python -m schemas.generate

baseline: setup ## take the schemas as they are for what must not be broken from now on
	@mkdir -p $(dir $(BASELINE)) && $(BIN)/buf build --exclude-source-info --output $(BASELINE)
	@$(BIN)/python -m schemas.plans

COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

locks: setup ## write the lock files again (UPGRADE=1: newest versions)
	@$(COMPILE) --extra demo --group dev --group build --output-file deploy/locks/dev.txt
	@$(COMPILE) --constraint deploy/locks/dev.txt --output-file deploy/locks/run.txt
	@for group in bench soak; do \
	$(COMPILE) --group $$group --constraint deploy/locks/dev.txt --output-file deploy/locks/$$group.txt; done

clean: ## stop what runs and remove every trace inside this folder
	@deploy/local/clean.sh
