# make demo: install and run everything on a synthetic cohort.    make test: install and run the tests.
# make site: the pages of docs/ as a site, in site/.
# make wheelhouse: all wheels in one folder, for servers without a network; there, make install-offline.
# make test-newest: the tests with the newest releases of the libraries that we lean on, in a venv of their own.
PYTHON ?= python3
VENV := .venv
WHEELHOUSE := wheelhouse

.PHONY: install install-offline demo test test-newest lint site wheelhouse
install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	@touch $@

# As `install`, from the wheels alone, and without what only tests and lint need.
install-offline:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-index --find-links "$(WHEELHOUSE)" --editable ".[serve]"
	@touch $(VENV)/installed

wheelhouse:
	PYTHON="$(PYTHON)" launch/offline/wheelhouse.sh "$(WHEELHOUSE)"

demo: install
	$(VENV)/bin/mera demo

test: install lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 15

test-newest:
	PYTHON=$(PYTHON) tests/newest.sh

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

site: install
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet --config-file docs/site/mkdocs.yml
