# make demo   the first look: trains one model on every backend
# make test   the tests                     make check   format, lint, types, imports (what CI runs too)
# make help   all targets
#
# make test ARGS="-k conv"                  make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
ARGS ?=

# Processes that tests start would compile all modules anew where whoever calls forbids to write them.
export PYTHONDONTWRITEBYTECODE :=

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
USER_READY := $(VENV)/.installed-all
DEV_READY := $(VENV)/.installed-dev
# One worker per core: more threads in each would only fight for the same cores.
# Keras, which judges, is bound to one framework in a process. There are two runs of tests: on PyTorch it judges training and the zoo,
# whose rates and sums it keeps in float32 on TensorFlow; the rest it judges on TensorFlow, where it is best tested.
TEST_RUNS := "tensorflow tests --ignore tests/train --ignore tests/zoo" "torch tests/train tests/zoo"
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal --timeout 300 --benchmark-disable

# $$1 is Keras's framework. pytest ends with 5 when a run has no test that was asked for, which is no failure.
define run_tests
status=0; for run in $(TEST_RUNS); do \
	set -- $$run; framework=$$1; shift; \
	KERAS_BACKEND=$$framework $(PYTEST) "$$@" $(1) || { code=$$?; [ $$code -eq 5 ] || status=$$code; }; \
done; exit $$status
endef

.DEFAULT_GOAL := help
.PHONY: help demo install test test-slow check format ops tables docs bench keras-score keras-examples onnx-score clean

help:
	@echo "make demo        train one model on every backend, compare, export, save, load"
	@echo "make test        run the tests (without the slow ones)"
	@echo "make test-slow   run the slow tests only"
	@echo "make check       format, lint, types and import rules, as CI does"
	@echo "make format      put the code into form"
	@echo "make ops         write the functions of src/unifront/opset into src/unifront/ops"
	@echo "make tables      write the generated pages of docs/"
	@echo "make docs        build the documentation into build/site; any warning fails"
	@echo "make keras-score KERAS_SUITE=… KERAS=…   run Keras's own tests (tests/keras_score.py says how)"
	@echo "make keras-examples   run the examples of Keras's docstrings (on PyTorch; ARGS=\"--backend jax\") and keep the counts in docs/"
	@echo "make onnx-score  run ONNX's own tests on every backend and keep the counts in docs/"
	@echo "make bench       measure unifront beside native code and Keras"
	@echo "make install     make $(VENV) with everything a developer needs"
	@echo "make clean       remove $(VENV), caches and build output"

demo: $(USER_READY)
	@$(BIN)/unifront demo $(ARGS)

install: $(DEV_READY)

test: $(DEV_READY)
	@$(call run_tests,--durations 10 --durations-min 1 $(ARGS))

test-slow: $(DEV_READY)
	@$(call run_tests,-m slow --timeout 3600 --durations 10 --durations-min 1 $(ARGS))

check: $(DEV_READY)
	@$(BIN)/ruff format --check --output-format concise .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(DEV_READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

ops: $(DEV_READY)
	@$(BIN)/python -m unifront.opset

tables: $(DEV_READY)
	@$(BIN)/python -m unifront.support

# Material's notice on MkDocs 2 is no warning of ours.
docs: $(DEV_READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open build/site/index.html; with search: python3 -m http.server -d build/site"

keras-score: $(DEV_READY)
	@test -n "$(KERAS_SUITE)" -a -n "$(KERAS)" || { echo "Say where the suite and Keras's source are: make keras-score KERAS_SUITE=… KERAS=…"; exit 2; }
	@$(PIP_INSTALL) absl-py
	@$(BIN)/python tests/keras_score.py $(KERAS_SUITE) $(KERAS) build/keras-score --write $(ARGS)

keras-examples: $(DEV_READY)
	@$(BIN)/python tests/keras_examples --write $(ARGS)

onnx-score: $(DEV_READY)
	@$(BIN)/python tests/onnx_score.py --write $(ARGS)

bench: $(DEV_READY)
	@$(BIN)/python benchmarks/run.py --tables all $(ARGS)

clean:
	rm -rf $(VENV) build dist .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src backends zoo tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("unifront needs Python 3.11 or newer, and %s is %s. Try: make PYTHON=python3.11" % (sys.executable, sys.version.split()[0]))'
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamps: installed again only when what is to be installed has changed.
$(USER_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing unifront, PyTorch, TensorFlow and JAX into $(VENV) (some minutes the first time) …"
	@$(PIP_INSTALL) -e '.[all]'
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing unifront, its frameworks and the developer's tools into $(VENV) (some minutes the first time) …"
	@$(PIP_INSTALL) -e '.[all,dev]'
	@touch $@ $(USER_READY)
