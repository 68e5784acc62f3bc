# make grid       the pocket study from nothing: set up, run, report
# make test       the tests, without the slow ones        make lint   linters and types
# make test-all   lint and all tests, the slow ones first  make check  the same
# make coverage   what the tests cover                    make venv   set up only
# make pins       new versions into requirements.txt
PYTHON ?= python3
UV := uv==0.13.9
BIN := .venv/bin

PYTEST := $(BIN)/python -m pytest -q -n 4  # four for two cores, because many tests wait

# if it is set, every process compiles the checkout again
export PYTHONDONTWRITEBYTECODE :=

.PHONY: grid test test-all check coverage lint venv pins

grid: venv
	$(BIN)/python -m platform.grid

test: venv
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

check: test-all

coverage: venv
	$(BIN)/coverage erase
	# coverage imports `platform` before a command does: PYTHONPATH makes that the package; test_name.py is about the name itself
	PYTHONPATH=. $(PYTEST) -m "not slow" --ignore tests/test_name.py --cov --cov-report=json:.coverage.json
	$(BIN)/python benchmarks/uncovered.py .coverage.json

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

venv: .venv/installed $(BIN)/ferray

$(BIN)/ferray: | .venv/installed
	ln -sf ../../ferray $@

.venv/installed: requirements.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("ferray needs Python 3.11 to 3.13, not %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(UV)
	# compiled once, here: else each of a grid's ten processes compiles Ray and torch for itself before it starts
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --requirement requirements.txt
	touch $@

pins: venv
	echo '# Every version the project is tested with, made by `make pins` from pyproject.toml.' > requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra dev --universal --python-version 3.11 \
		--no-annotate --no-header >> requirements.txt
