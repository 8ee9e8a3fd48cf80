# Every target makes the environment first; `make setup` needs Python 3.11, make and a C++ compiler, nothing else.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.setup

.PHONY: setup demo test check static bench tensorboard

setup: $(STAMP)

$(STAMP): setup.py pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip check
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

# The whole suite, and everything that `check` looks at.
test: static
	$(BIN)/python -m pytest -n 2 --dist loadfile  # half of the time is spent waiting for Ray to start

# What needs no training: style, dependencies, and the tests of the tree itself.
check: static
	$(BIN)/python -m pytest tests/project

static: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pip check

# What this machine makes of it: docs/benchmarks.md. Ten minutes, during which nothing else should run.
bench: setup
	$(BIN)/rl-platform bench

tensorboard: setup
	$(BIN)/tensorboard --logdir runs
