# make demo   reconstruct the bundled example into demo/
# make check  rules, types and style, under a minute
# make docs   this site in build/docs; a warning is an error
# make test   the whole test suite
# make fuzz   thousands of damaged files and wrong arguments; COUNT for each loader
# make bench  what is measured, not asserted: tests/benchmarks
#
# Needs git, make and python >= 3.11 with venv; PYTHON chooses the interpreter, JOBS
# how many processes test side by side (2 GB of memory each), ARGS what pytest is told.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
PINS := pyproject.toml constraints.txt
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: demo check docs test fuzz bench clean

demo: $(BIN)/.installed
	$(BIN)/sigpy-priors demo --out demo
	@echo "now: . $(BIN)/activate && sigpy-priors --help"

check: $(BIN)/.installed-check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/python -m pytest -q tests/test_house.py

# What Sphinx writes beside the sources would outlive what it is made of.
docs: $(BIN)/.installed-docs
	rm -rf build/docs docs/api/generated docs/gallery
	$(BIN)/python -m sphinx -q -W --keep-going docs build/docs
	@echo "build/docs/index.html"

# The tests run real BARTs, and TensorFlow, JAX and diffusers, made once in a cache
# outside the tree. Where that is impossible they are skipped, each with a line;
# under CI nothing may be.
test: $(BIN)/.installed-test
	for v in 1.0.00 0.8.00; do \
	  $(BIN)/python -m bart_plugin build --version $$v || test -z "$$CI" || exit 1; \
	done
	$(BIN)/python tests/environment.py
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

COUNT ?= 110
fuzz: $(BIN)/.installed-test
	$(BIN)/python -W ignore tests/fuzz/fuzz.py --count $(COUNT)
	$(BIN)/python -W ignore tests/fuzz/misuse.py
	test ! -d ../shared/cases/robust/mutants || $(BIN)/python -W ignore tests/fuzz/mutants.py

bench: $(BIN)/.installed-test
	$(BIN)/python tests/benchmarks/recon.py
	$(BIN)/python tests/benchmarks/denoise.py
	$(BIN)/python tests/benchmarks/prox.py
	$(BIN)/python tests/benchmarks/density.py
	$(BIN)/python tests/benchmarks/backends.py
	$(BIN)/python tests/benchmarks/bart_pics.py
	$(BIN)/python tests/benchmarks/posterior.py
	$(BIN)/python tests/benchmarks/cluster.py
	$(BIN)/python tests/benchmarks/precision.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than 3.11: install Python >= 3.11, or make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv: install it (on Debian: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# Stamps: install once, and again only when the dependencies change.
$(BIN)/.installed: $(PINS) | $(BIN)/python
	@echo "installing into .venv, once: 1.5 GB, most of it torch, minutes by the network"
	@echo "(several GB more where pip takes torch for CUDA: README.md says how not to)"
	$(PIP) -e .
	@touch $@

$(BIN)/.installed-check: $(PINS) | $(BIN)/python
	@echo "installing what the checks need into .venv, once"
	$(PIP) -e '.[train,cluster,onnx,test,check]'
	@touch $@ $(BIN)/.installed-test $(BIN)/.installed

$(BIN)/.installed-test: $(PINS) | $(BIN)/python
	@echo "installing the dependencies of the tests into .venv, once"
	$(PIP) -e '.[train,cluster,onnx,test]'
	@touch $@ $(BIN)/.installed

$(BIN)/.installed-docs: $(PINS) | $(BIN)/python
	@echo "installing what the documentation needs into .venv, once"
	$(PIP) -e '.[docs]'
	@touch $@ $(BIN)/.installed

clean:
	rm -rf .venv demo build dist docs/api/generated docs/gallery *.egg-info
