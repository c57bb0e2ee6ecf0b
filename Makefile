# The two commands of the README are `make demo` and `make test`; each does all its set-up.
PYTHON ?= python3
VENV := .venv
# Processes that share the tests, file by file; each takes up to 2 GB for torch.
JOBS ?= 2
BIN := $(VENV)/bin
# Where tests put their files: in memory where 8 GB of it are free. Stores wait for the disk at every write.
SCRATCH := $(shell df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 8000 { print "/dev/shm" }')
PYTEST := $(if $(SCRATCH),TMPDIR=$(SCRATCH)) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.PHONY: demo serve test test-slow check docs format revision clean help
.DEFAULT_GOAL := help

help:                ## what can be made
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Stamps: `user` has what users install, `dev` adds the tests' and checkers' packages.
$(VENV)/user.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Askpix needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Askpix into $(VENV) (about a minute the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/user.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/user.stamp        ## index sample pictures, search them, ask them
	@$(BIN)/askpix demo

serve: $(VENV)/user.stamp       ## the HTTP service on this machine, http://127.0.0.1:8000
	@$(BIN)/askpix serve

test: $(VENV)/dev.stamp         ## every test but the slow ones
	@$(BIN)/python tools/fetch_browser.py
	@$(PYTEST) -m "not slow"

test-slow: $(VENV)/dev.stamp    ## kill schedules, soaks, whole folders, peers
	@$(BIN)/python tools/fetch_browser.py
	@$(PYTEST) -m slow

check: $(VENV)/dev.stamp        ## lint, format, types, import arrows
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/dev.stamp         ## the documentation site, in site/
	@$(BIN)/python tools/write_references.py build/reference
	@PATH="$(CURDIR)/$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

format: $(VENV)/dev.stamp       ## put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

revision: $(VENV)/dev.stamp     ## OF=catalog|service SAY="what changes": an Alembic revision for changed tables
	@$(BIN)/python -W ignore tools/write_revision.py "$(OF)" "$(SAY)"
	@$(BIN)/ruff format --quiet api/security/migrations ingest/catalog/migrations

clean:                          ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build site
