# README's commands. Each target sets up what it needs; PYTHON names the interpreter, EXTRA the Paddle to install.
PYTHON ?= python3
VENV ?= .venv
EXTRA ?= cpu
PIP = $(VENV)/bin/python -m pip install --disable-pip-version-check --quiet

.PHONY: help install quickstart test test-all test-paddle26 lint tipc bench clean

help:
	@echo "make quickstart     train, evaluate, export and run a 20-class spine segmenter on built-in data (about 10 minutes)"
	@echo "make test           set up and run the tests"
	@echo "make test-all       the slow tests too"
	@echo "make test-paddle26  the tests on paddlepaddle 2.6.2 and numpy 1.26, in a second environment"
	@echo "make lint           ruff and mypy"
	@echo "make tipc           a TIPC chain of every network: train, evaluate, export, infer (CHAINS=vnet: one of them)"
	@echo "make bench          speed and memory beside PyTorch, MONAI and nnU-Net (downloads them; takes an hour or more)"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing medicalseg[$(EXTRA)] into $(VENV) (a few minutes the first time)"
	$(PIP) --editable '.[$(EXTRA)]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	@echo "installing the development tools"
	$(PIP) --editable '.[$(EXTRA),dev]'
	@touch $@

install: $(VENV)/.installed

quickstart: $(VENV)/.installed
	$(VENV)/bin/python tools/quickstart.py $(ARGS)

test: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest -m "not slow" $(ARGS)

test-all: $(VENV)/.installed-dev
	$(VENV)/bin/python -m pytest $(ARGS)

.venv-paddle26/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-paddle26
	.venv-paddle26/bin/python -m pip install --disable-pip-version-check --quiet \
		"paddlepaddle==2.6.2" "numpy==1.26.4" --editable '.[dev]'
	@touch $@

test-paddle26: .venv-paddle26/.installed
	.venv-paddle26/bin/python -m pytest -m "not slow" $(ARGS)

lint: $(VENV)/.installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

CHAINS ?= $(notdir $(wildcard test_tipc/configs/*))

tipc: $(VENV)/.installed
	set -e; for chain in $(CHAINS); do \
		for script in prepare test_train_inference_python; do \
			PATH="$(abspath $(VENV))/bin:$$PATH" bash test_tipc/$$script.sh \
				test_tipc/configs/$$chain/train_infer_python.txt lite_train_lite_infer; \
		done; \
	done

.venv-bench/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[$(EXTRA),bench]'
	@touch $@

bench: .venv-bench/.installed
	.venv-bench/bin/python -m benchmarks $(or $(SUITES),all) $(ARGS)

clean:
	rm -rf $(VENV) .venv-paddle26 .venv-bench build dist *.egg-info
