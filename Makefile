# Everything here needs only Python 3.11, git, make and the package registry.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= demo
STRIPPED ?= stripped
BIN = $(VENV)/bin

.PHONY: demo test lint setup site notebook ranges benchmark quality quality-stripped quality-real picture clean

setup: $(VENV)/.ready

# torch goes first and alone: every platform takes its own build of it, with what that needs.
$(VENV)/.ready: requirements.lock requirements-test.lock requirements-torch-cpu.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$$(grep -o 'torch==[0-9.]*' requirements-torch-cpu.lock)"
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock -r requirements-test.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

demo: setup
	PATH="$(abspath $(BIN)):$$PATH" sh scripts/demo.sh $(DEMO)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation, links checked: open work/site/index.html.
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebook: setup
	mkdir -p work
	cp docs/first_image.ipynb work/first_image.ipynb
	$(BIN)/jupyter-execute --inplace work/first_image.ipynb

# The tests with the lowest or the newest versions that pyproject.toml allows; needs uv.
RESOLUTION ?= lowest-direct
ranges:
	uv venv --clear --python $(PYTHON) .venv-ranges
	uv pip install --python .venv-ranges/bin/python --resolution $(RESOLUTION) '.[fit]'
	uv pip install --python .venv-ranges/bin/python pytest pytest-xdist hypothesis bids-validator-deno==3.0.2
	.venv-ranges/bin/python -m pytest -n 2 --dist loadfile -m "not slow and not container"

# Time, memory and growth of everything, on an idle machine: most of an hour. `python -m benchmarks PART`
# measures a part anew, and --page alone writes the page again from what is kept.
benchmark: setup
	$(BIN)/python -m benchmarks all --page docs/performance.md

# Each writes its page anew, in about an hour; STRIPPED is a BIDS dataset without skulls.
quality: setup
	$(BIN)/python -m benchmarks.quality work/quality --seconds 60 --page docs/quality.md

quality-stripped: setup
	$(BIN)/python -m benchmarks.quality work/quality-stripped --dataset $(STRIPPED) \
		--tasks any-missing unpaired --seconds 60 --notes benchmarks/stripped_notes.md \
		--page docs/quality-stripped.md

# Hours; a second call goes on where the first was stopped.
quality-real: setup
	$(BIN)/python -m benchmarks quality --real work/quality-real --dataset $(STRIPPED) \
		--page docs/out-of-the-box.md

picture: setup
	$(BIN)/python scripts/picture.py $(DEMO) docs/demo.svg

clean:
	rm -rf $(VENV) $(DEMO) work
