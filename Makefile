# Two commands are all that a fresh clone needs:
#   make study    makes the environment, runs notebooks/04_attention_ablation.ipynb, says where the result and its picture are
#   make test     makes the environment, runs the tests
# Another data set or notebook:  make study DATASET=cpsc   make study NOTEBOOK=notebooks/05_position_encoding.ipynb

PYTHON   ?= python3
VENV     := .venv
BIN      := $(VENV)/bin
STAMP    := $(VENV)/complete
EXTRAS   := study,book,dev,export

NOTEBOOK ?= notebooks/04_attention_ablation.ipynb
DATASET  ?=
PAGE     ?= 04
RESULT   ?= out.ipynb
# Paths of the tests, or options of pytest; and how many processes share them, one thread each: threads that share a core wait for
# each other, and take many times as long.
TESTS    ?=
JOBS     ?= 2

.PHONY: help environment study test book proof pdf clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "also: make environment, make book, make proof, make pdf PAGE=04, make clean"

environment: $(STAMP)

# The stamp is written last, so an installation that was interrupted is taken up again; pip keeps what is already right.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "ecgstudy needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not installed)."; \
	  echo "Name a newer one: make PYTHON=python3.11 $(or $(MAKECMDGOALS),environment)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

study: $(STAMP)
	$(BIN)/papermill --progress-bar --log-output $(NOTEBOOK) $(RESULT) $(if $(DATASET),-p dataset $(DATASET))
	@echo
	@echo "The executed notebook: $(RESULT)"
	@echo "Its picture:           $$(ls -t runs/$(basename $(notdir $(NOTEBOOK)))-*.png 2>/dev/null | head -1)"

test: $(STAMP)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(TESTS)

book: $(STAMP)
	$(BIN)/python -m ecgstudy.book

# Every page of the built book in a Chromium: the system's, or the one of `python -m playwright install chromium`.
proof: book
	ECGSTUDY_SITE=_build/src/_build/html $(BIN)/python -m pytest -n $(JOBS) tests/browser

pdf: $(STAMP)
	$(BIN)/python -m ecgstudy.book --pdf $(PAGE)

# Finished runs and downloaded data stay; they may have cost hours.
clean:
	rm -rf $(VENV) _build .pytest_cache .ruff_cache .hypothesis *.egg-info out.ipynb
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
