# make grid       the pocket study from nothing: set up, run, report
# make test       the tests, without the slow ones        make lint   linters and types
# make test-all   lint and all tests, the slow ones first  make check  the same
# make coverage   what the tests cover                    make venv   set up only (make dev: with what the tests need)
# make pins       new versions into requirements.txt and requirements-dev.txt
# make audit      known faults of these versions, from pip-audit's database (needs access to it)
PYTHON ?= python3
UV := uv==0.13.9
BIN := .venv/bin

PYTEST := $(BIN)/python -m pytest -q -n 4  # four for two cores, because many tests wait

# if it is set, every process compiles the checkout again
export PYTHONDONTWRITEBYTECODE :=

.PHONY: grid test test-all check coverage lint venv dev pins audit

grid: venv
	$(BIN)/python -m platform.grid

test: dev
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

check: test-all

coverage: dev
	$(BIN)/coverage erase
	# coverage imports `platform` before a command does: PYTHONPATH makes that the package; test_name.py is about the name itself
	PYTHONPATH=. $(PYTEST) -m "not slow" --ignore tests/test_name.py --cov --cov-report=json:.coverage.json
	$(BIN)/python benchmarks/uncovered.py .coverage.json

lint: dev
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
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --requirement requirements.txt
	touch $@

dev: .venv/installed-dev

.venv/installed-dev: .venv/installed requirements-dev.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --requirement requirements-dev.txt
	touch $@

COMPILE = $(BIN)/uv pip compile --quiet --upgrade pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

pins: venv
	$(COMPILE) --extra weights --extra cloud --output-file requirements.txt
	$(COMPILE) --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	sed -i '1i # Every version that running needs, with the hashes of its files, made by `make pins` from pyproject.toml.' requirements.txt
	sed -i '1i # The versions of requirements.txt, and what only the tests need, made by `make pins` from pyproject.toml.' requirements-dev.txt

audit: venv
	$(BIN)/uv tool run pip-audit==2.10.1 --disable-pip --require-hashes --requirement requirements-dev.txt
