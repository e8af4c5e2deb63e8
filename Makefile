# Every target sets up what it needs, once, in .venv; `make help` lists them.
PYTHON ?= python3
TASK ?= cat2lion
ARGS ?=
JOBS ?= 2

VENV := .venv
PY := $(VENV)/bin/python
LOCK := requirements/lock-3.11.txt
RUN := HF_HUB_OFFLINE=1 WANDB_MODE=offline $(PY)
PIP := $(PY) -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup train edit app docs gallery bench test test-all lint format type layers audit lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: TASK=$(TASK), ARGS=\"key=value ...\", PYTHON=$(PYTHON), JOBS=$(JOBS)"

setup: $(VENV)/.ready  ## create .venv and install this project into it
	@echo "$(VENV) is ready"

train: $(VENV)/.ready  ## train a student: make train TASK=cat2dog ARGS="seed=1"
	$(PY) train.py task=$(TASK) $(ARGS)

edit: $(VENV)/.ready  ## edit without training: make edit ARGS="image=cat.png prompt.target='a lion'"
	$(PY) scripts/edit.py $(ARGS)

app: $(VENV)/.ready-app  ## serve a page for a browser: make app ARGS="port=7870"
	$(PY) scripts/app.py $(ARGS)

docs: $(VENV)/.ready-docs  ## build the manual into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict $(ARGS)

gallery: $(VENV)/.ready  ## draw docs/gallery.png anew
	$(PY) scripts/benchmark.py n=4 'seeds=[0]' out=outputs/gallery \
	    'editors=[sds,dds,dds_auto_mask,cycle_sde,diffedit_cycle_sde]' $(ARGS)
	cp outputs/gallery/gallery.png docs/gallery.png

bench: $(VENV)/.ready  ## time edits against plain loops, on this machine
	$(PY) scripts/bench.py $(ARGS)

test: lint type layers  ## style, types, layers and every test of some minutes
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-all: lint type layers  ## also the slow tests: minutes and gigabytes each
	$(RUN) -m pytest -m "not gpu and not hub" $(ARGS)

lint: $(VENV)/.ready-dev  ## check style
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/.ready-dev  ## put style right
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

type: $(VENV)/.ready-dev  ## check types
	$(PY) -m basedpyright --pythonpath $(PY)

layers: $(VENV)/.ready-dev  ## check which module imports which
	$(VENV)/bin/lint-imports

audit: $(VENV)/.ready-dev  ## look the locked versions up among the known advisories (needs the network)
	$(VENV)/bin/pip-audit --disable-pip --no-deps -r $(LOCK)

lock: $(VENV)/.ready-dev  ## write down the versions that are installed
	@mkdir -p $(dir $(LOCK))
	$(PY) -m pip freeze --exclude-editable | sed -n 's/^\([A-Za-z0-9._-]*==[^+ ]*\).*$$/\1/p' > $(LOCK)

clean:  ## remove .venv and caches; data and outputs stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache build dist site
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are older than pyproject.toml after it changed, and then these run again.
$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	@echo "Installing i2i_dds into $(VENV); the first time this downloads PyTorch and takes minutes"
	@$(PIP) -e .
	@touch $@

$(VENV)/.ready-app: $(VENV)/.ready
	@echo "Installing the page's server into $(VENV)"
	@$(PIP) -e '.[app]'
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready
	@echo "Installing what builds the manual into $(VENV)"
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "Installing the test tools into $(VENV)"
	@$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) here; install Python 3.10 or newer, or give PYTHON=/path"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "error: $(PYTHON) is older than 3.10; give PYTHON=/path/to/a/newer/one"; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "error: $(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
