# `make` alone lists the commands.
# The newest of these that runs (a shim of pyenv may not); make PYTHON=… takes another.
PYTHONS := python3.14 python3.13 python3.12 python3.11
RUNS = $(shell $(1) -c "import venv" 2>/dev/null && echo $(1))
PYTHON ?= $(firstword $(foreach name,$(PYTHONS),$(call RUNS,$(name))) python3.11)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Images of containers often set it; every process would then compile torch anew, for 7 seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup filter demo results test fast suite lint faults bench lab notebooks docs hashes

help:  ## list these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

# All that is installed are wheels with a hash in hashes.txt, where the pip that does so stands too:
# what was replaced is refused, and no set-up script of others runs. The stamp is written last, so an
# interrupted set-up starts over. What notebooks import is compiled by importing it; compiling all
# that is installed takes a third of the time.
INSTALL := $(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check
HASHED := $(INSTALL) --require-hashes --only-binary :all: --requirement
$(READY): pyproject.toml hashes.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 to 3.14, or run make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@awk '/^pip==/, !/\\$$/' hashes.txt > $(VENV)/pip.txt
	$(HASHED) $(VENV)/pip.txt
	$(HASHED) hashes.txt
	PYTHONWARNINGS=ignore $(INSTALL) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "import dmnet_lib.running.runner, dmnet_lib.training.jobs, dmnet_lib.reporting.explore.fusion"
	@touch $(READY)

setup: $(READY) filter  ## make the virtual environment (about 2 minutes, 6 GB)

# Of a notebook that was run, git sees neither outputs nor what JupyterLab notes, by .gitattributes;
# where nbstripout is not there any more, the file as it is. An archive is no repository, or in one.
# By its size alone git status would list such a notebook, until it is added, which changes nothing:
# here, so by each `make`, and after `make lab`.
STRIP := $(BIN)/nbstripout --keep-id
LAB_KEYS := codemirror_mode file_extension mimetype nbconvert_exporter pygments_lexer version
filter:
	@if [ "$$(git rev-parse --show-toplevel 2>/dev/null)" = "$$(pwd -P)" ]; then \
	  git config filter.nbstripout.clean 'test -x $(BIN)/nbstripout && exec $(STRIP) || exec cat'; \
	  git config filter.nbstripout.smudge cat; \
	  git config filter.nbstripout.required false; \
	  git config filter.nbstripout.extrakeys '$(LAB_KEYS:%=metadata.language_info.%)'; \
	  git config diff.ipynb.textconv 't() { test -x $(BIN)/nbstripout && $(STRIP) -t "$$1" || cat "$$1"; }; t'; \
	  git ls-files --modified notebooks | while read -r name; do \
	    git diff --quiet -- "$$name" && git add "$$name"; done; true; \
	fi

demo: setup  ## run the demo experiment and print where its report is
	@$(BIN)/dmnet run params/demo.yaml

# What is finished is taken over; DMNET_DATA_ROOT and DMNET_MODEL_FILE add real images.
results: setup  ## run the experiments whose results are kept in git, then `make docs` (two hours)
	@for name in demo demo_seeds demo_whole_images; do $(BIN)/dmnet run params/$$name.yaml || exit 1; done
	@if [ -n "$$DMNET_MODEL_FILE" ]; then $(BIN)/dmnet run params/visdrone_offtheshelf.yaml; fi
	@$(MAKE) docs

test: lint fast suite  ## lint, then run all tests (about 8 minutes on two cores)

# Each of the two workers has a core: threads of one would wait for those of the other.
fast: setup  ## tests without trainings, notebooks and browsers (2 minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not suite" --numprocesses 2

suite: setup  ## tests of trainings, whole runs, notebooks, pages in a browser and benchmarks
	OMP_NUM_THREADS=1 $(BIN)/pytest -m suite --numprocesses 2 --dist loadfile

lint: setup  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

faults: setup  ## stop runs, fill disks, try hostile inputs; say what held (hours)
	FAULT_ROUNDS=$${FAULT_ROUNDS:-50} OMP_NUM_THREADS=1 $(BIN)/pytest --thorough tests/faults -rP

bench: setup  ## measure speed, beside reference implementations (about 20 minutes)
	$(BIN)/python benchmarks/bench.py --largest 100000

lab: setup  ## open the notebooks in JupyterLab
	@echo "1. Open a notebook, Run > Run All Cells: it opens the demo."
	@echo "2. Choose another run in its drop-down, or write its name into the first parameter, experiment."
	@echo "3. Run > Run All Cells again: parameters, images and results are that run's."
	@trap : INT; $(BIN)/jupyter lab --ServerApp.preferred_dir=notebooks; $(MAKE) --no-print-directory filter

docs: setup  ## write the generated pages of docs/ and README's table from results
	@$(BIN)/python docs/build.py

notebooks: setup  ## write the parameters cells of the notebooks from params/base.yaml
	@$(BIN)/python notebooks/build.py

# uv asks the package index for the files of each version, for all systems and Pythons at once.
hashes:  ## write hashes.txt from pyproject.toml and constraints.txt, once these changed (needs uv)
	@command -v uv >/dev/null || { echo "uv not found: run pip install uv"; exit 1; }
	uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-annotate --no-header \
	  --constraint constraints.txt --output-file hashes.txt pyproject.toml >/dev/null
