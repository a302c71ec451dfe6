# One word for everything a person does here. `make help` lists the words.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt LICENSE README.md $(shell find src native -type f ! -name '*.so' ! -path '*__pycache__*')

.PHONY: help demo test lint types format docs sanitize bench bench-quick wheel clean compiler

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' Makefile | expand -t 22

demo: $(VENV)/.cli  ## enlarge a photograph threefold with the packaged network
	$(BIN)/convtranspose demo --output demo

test: $(VENV)/.test  ## install what the tests need, and run them
	$(BIN)/python -m pytest

lint: $(VENV)/.tools  ## ruff and clang-format, nothing is changed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(find native -name '*.cc' -o -name '*.h')

types: $(VENV)/.tools $(VENV)/.test  ## mypy, strict
	$(BIN)/mypy

format: $(VENV)/.tools  ## format Python and C++ in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(find native -name '*.cc' -o -name '*.h')

docs: $(VENV)/.test  ## write the page of compatibility, run every example of the pages and docstrings
	$(BIN)/python tests/golden/compatibility.py
	$(BIN)/python -m pytest -q tests/test_docstrings.py tests/test_pages.py

sanitize: compiler  ## the native tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@test -x build/sanitize/bin/python || $(PYTHON) -m venv build/sanitize
	build/sanitize/bin/pip install -q --no-cache-dir -C cmake.define.CONVTRANSPOSE_SANITIZE=address,undefined \
	  -C build-dir=build/sanitize/cmake '.[test]'
	LD_PRELOAD="$$($${CXX:-c++} -print-file-name=libasan.so) $$($${CXX:-c++} -print-file-name=libstdc++.so.6)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  build/sanitize/bin/python -m pytest tests/native -k 'not instruction'

bench: $(VENV)/.test  ## every problem against every installed rival (long)
	$(BIN)/python benchmarks/run.py --json benchmarks/results.json --markdown benchmarks/results.md

bench-quick: $(VENV)/.test  ## the same for some problems, in under two minutes
	$(BIN)/python benchmarks/run.py --quick

wheel: compiler $(VENV)/.tools  ## a wheel in dist/
	$(BIN)/python -m build --wheel

clean:  ## forget everything that was built
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

# --- environments -----------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python cannot make virtual environments here; on Debian: apt install python3-venv"; exit 1; }

compiler:
	@command -v $${CXX:-c++} >/dev/null || \
	  { echo "A C++17 compiler (GCC or Clang) is needed and none is on the PATH; on Debian: apt install g++"; exit 1; }

$(VENV)/.cli: $(SOURCES) | compiler $(BIN)/python
	$(BIN)/pip install -q '.[cli]'
	@touch $@

$(VENV)/.test: $(SOURCES) | compiler $(BIN)/python
	$(BIN)/pip install -q '.[test]'
	@touch $@ $(VENV)/.cli

# The tools alone: they need neither the package nor a compiler.
$(VENV)/.tools: pyproject.toml | $(BIN)/python
	$(BIN)/pip install -q 'ruff>=0.17,<0.18' 'mypy>=1.18' 'clang-format>=21,<22' 'build>=1.2'
	@touch $@
