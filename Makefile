# Every target starts from nothing: it creates .venv when there is none and installs again
# only when pyproject.toml or constraints.txt has changed.
export MPLBACKEND := Agg

VENV := .venv
CONSTRAINTS := constraints.txt
PYTHON := $(VENV)/bin/python
PIP_INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-cov test-lowest lint bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.dev ## fit, sample and compare on real returns, with pictures in outputs/
	OMP_NUM_THREADS=1 $(PYTHON) examples/demo.py

# The tests' arrays are small: threads would only wait for one another on a busy machine.
test test-slow test-cov test-lowest: export OMP_NUM_THREADS := 1

test: $(VENV)/.dev ## run the fast tests and the docstring examples
	$(PYTHON) -m pytest

test-slow: $(VENV)/.dev ## run the tests that take more than a few seconds
	$(PYTHON) -m pytest -m slow

test-cov: $(VENV)/.dev ## run the fast tests and report which lines and branches they reach
	$(PYTHON) -m pytest --cov=sklearn_diffusion --cov-branch --cov-report=term:skip-covered

test-lowest: ## run the fast tests on the lowest supported version of everything but torch
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

lint: $(VENV)/.dev ## check style, format, docstrings and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m numpydoc lint $$(find sklearn_diffusion -name '*.py')
	$(PYTHON) -m mypy

bench: $(VENV)/.dev ## run every benchmark
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(PYTHON) $$script; done

docs: $(VENV)/.docs ## build the documentation in docs/_build/html
	$(PYTHON) -m sphinx -W --keep-going -b html $(SPHINXOPTS) docs docs/_build/html

clean: ## remove everything that make has built
	rm -rf .venv .venv-lowest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache outputs
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst

$(PYTHON):
	@for python in python3.11 python3 python3.12 python3.13; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        exec $$python -m venv $(VENV); \
	    fi; \
	done; \
	echo "sklearn_diffusion needs Python 3.11 or later, and found none on PATH." >&2; exit 1

$(VENV)/.%: pyproject.toml $(CONSTRAINTS) | $(PYTHON)
	@echo "Installing the package and its '$*' extra into $(VENV): minutes the first time."
	@$(PIP_INSTALL) -e '.[$*]'
	@touch $@
