# Everything here needs only Python 3.11, git, make and the package registry.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
BIN = $(VENV)/bin

.PHONY: demo test lint setup benchmark picture clean

setup: $(VENV)/.ready

# torch goes first and alone: every platform takes its own build of it, with what that needs.
$(VENV)/.ready: requirements.lock requirements-test.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$$(grep -o 'torch==[0-9.]*' pyproject.toml)"
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock -r requirements-test.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

demo: setup
	PATH="$(abspath $(BIN)):$$PATH" sh scripts/demo.sh $(DEMO)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: setup
	$(BIN)/python -m benchmarks

picture: setup
	$(BIN)/python scripts/picture.py $(DEMO) docs/demo.png

clean:
	rm -rf $(VENV) $(DEMO) work
