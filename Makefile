# Everything needs only python3 (3.11 or later, with venv), git and make; each target may be the first one called.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt
ARGS ?=
# Tests mostly wait, for processes that start and stop: three at a time keep two cores busy, each with servers of its own.
JOBS ?= 3
# A file's tests stay together. Files go out in their order here: those of tests/unit, which are short, come last, so that
# nobody is left with a long one while the others have nothing to do.
SPREAD := --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
# CI sets RERUN=1: a few tests that fail are run once more, alone, and named FLAKY if they pass then.
RERUN ?=

# Each of the suite's hundreds of processes would compile the whole project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run fleet programs test test-versions compose-test soak fuzz bench check measures clean

help:  ## list the targets
	@sed -n 's/^\([-.a-z]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

.venv: .venv/.installed-dev  ## make .venv with everything a developer needs, again when the dependencies change

# matplotlib is installed for those alone who ask for a picture.
run: .venv/.installed-run $(if $(findstring --chart,$(ARGS)),.venv/.installed-chart)  ## replay the market: make run ARGS="--days 30 --chart equity.svg"
	@$(BIN)/python -m workers run $(ARGS)

fleet: .venv/.installed-dev  ## RabbitMQ, three workers, a history, the feed, Flower: make fleet ARGS="--workers 5"
	@$(BIN)/python -m tests.support.provision --ensure rabbitmq
	@# Without PostgreSQL the history is kept in SQLite, and the fleet says so.
	@$(BIN)/python -m tests.support.provision --ensure postgresql || true
	@$(BIN)/python -m workers fleet $(ARGS)

programs: .venv/.installed-dev  ## RabbitMQ, PostgreSQL, Chromium and libfaketime for the tests, where they are missing
	@$(BIN)/python -m tests.support.provision --ensure

test: programs  ## all tests, with RabbitMQ, PostgreSQL and Chromium of their own: make test ARGS="tests/unit -x"
	@$(BIN)/python -m $(if $(RERUN),tests.support.rerun,pytest) $(SPREAD) $(ARGS)

compose-test: .venv/.installed-dev  ## docker-compose.yml on a real Docker engine, killed on the way: QT_COMPOSE_DAYS=400 make compose-test
	@$(BIN)/python -m pytest -v -x -o log_cli=true --log-cli-level=INFO $(or $(ARGS),tests/compose/in_docker.py)

test-versions: .venv/.installed-dev  ## unit and contract tests on the lowest and newest Celery, kombu, amqp and pydantic: ARGS as for test
	@$(BIN)/python -m tests.support.provision --ensure rabbitmq
	@$(BIN)/python -m tests.support.versions $(SPREAD) $(ARGS)

soak: .venv/.installed-dev  ## every fault at random against 200,000 events, 400 killed recorders, a newcomer, and their ledgers: make soak ARGS="--events 20000"
	@$(BIN)/python -m tests.support.provision --ensure
	@$(BIN)/python -m tests.soak $(ARGS)
	@$(BIN)/python -m tests.soak.recorders
	@$(BIN)/python -m tests.soak.newcomers

fuzz: .venv/.installed-dev  ## a million broken messages through all that reads them: make fuzz ARGS="--inputs 10000"
	@$(BIN)/python -m tests.fuzz.fuzz $(or $(ARGS),--inputs 1000000 --processes 2)

bench: .venv/.installed-bench  ## ours beside FastStream, Celery and py-amqp, with ratios: make bench ARGS="--only consume"; --check before a release
	@$(BIN)/python -m tests.support.provision --ensure rabbitmq
	@$(BIN)/python -m benchmarks $(ARGS)

check: .venv/.installed-dev  ## style, types, who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports

measures: .venv/.installed-dev  ## the layout in figures: make measures ARGS="--json"
	@$(BIN)/python -m tests.support.measures $(ARGS)

clean:  ## remove .venv and what tools left behind
	@rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each, so that `make run` never waits for developers' tools, and an install that broke off is done again.
.venv/bin/python:
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "qt-events needs Python 3.11 or later with venv (Debian: apt-get install python3 python3-venv), or make PYTHON=..." >&2; exit 1; }
	@echo "making .venv"
	@$(PYTHON) -m venv .venv

.venv/.installed-run: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing qt-events"
	@$(PIP) -e '.[trader]'
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing qt-events and the tools for its tests"
	@$(PIP) -e '.[chart,dev,flower,history,outbox,postgresql,trader]'
	@touch .venv/.installed-run .venv/.installed-chart $@

.venv/.installed-chart: .venv/.installed-run
	@echo "installing matplotlib for the chart"
	@$(PIP) -e '.[chart]'
	@touch $@

.venv/.installed-bench: .venv/.installed-dev
	@echo "installing whom it is compared with"
	@$(PIP) -e '.[bench]'
	@touch $@
