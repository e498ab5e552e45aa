# Every target works on a bare machine with Python >= 3.11, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One job per core for the tests; science libraries must not start threads of their own on top.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test storm acceptance-docker acceptance-sites acceptance-scale
.PHONY: lint format lock bench bench-science bench-quick bench-live clean

demo: $(VENV)/.installed
	$(BIN)/tianyu demo --out demo-output

test: $(VENV)/.installed
	sh tests/install_servers.sh
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# How fast it is beside astropy + SEP and photutils, step by step, with servers of its own: tables,
# build/bench.json, and an error where a ratio is worse than in tests/benchmarks/ratios.json.
bench: $(VENV)/.installed
	sh tests/install_servers.sh
	$(BIN)/python -m tests.benchmarks $(BENCH)

bench-quick: $(VENV)/.installed
	sh tests/install_servers.sh
	$(BIN)/python -m tests.benchmarks --quick $(BENCH)

# How soon a frame of an open night has its relative fluxes, embedded and served.
bench-live: $(VENV)/.installed
	sh tests/install_servers.sh
	$(BIN)/python -m tests.benchmarks.live_latency

# Are the errors honest? Eight simulated nights, reduced and held against the truth: ten minutes.
bench-science: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks.honest_errors

# The engine under fire: a thousand random stories, every planted mistake, every fault, and a storm
# over a whole site for each seed. Takes most of an hour; the last lines hold the figures.
SEEDS ?= 1 2 3
storm: $(VENV)/.installed
	sh tests/install_servers.sh
	TIANYU_HYPOTHESIS_PROFILE=storm $(BIN)/python -m pytest -n auto --dist worksteal \
		tests/integration/engine tests/integration/fire tests/storm
	$(BIN)/python -m pytest -m storm tests/integration
	$(BIN)/python -m tests.storm --seed $(SEEDS)

# On a real Docker engine: a site from nothing to light curves, with restarts, a wipe and a restore;
# then an observatory and a data centre that share a night over TLS. STORY=sites for the second only.
acceptance-docker: $(VENV)/.installed
	$(BIN)/python -m tests.compose $(STORY:%=--story %)

# A night shared by two sites in network namespaces, over a link of 1 Mbit/s that is cut for a
# minute; needs root, and says so where namespaces are not allowed. Takes about ten minutes.
acceptance-sites: $(VENV)/.installed
	sh tests/install_servers.sh
	$(BIN)/python -m tests.sites

# A burst of 500 processes, and the consumers that follow it up and down.
acceptance-scale: $(VENV)/.installed
	sh tests/install_servers.sh
	$(BIN)/python -m tests.scaling

# Renew the tested set of versions: install the newest that pyproject.toml allows, then freeze.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet --upgrade '.[dev]'
	build/lock/bin/pip freeze --exclude tianyu --exclude pip --exclude setuptools > constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
