# The two commands of the README are `make demo` and `make test`; everything else serves them.
# Nothing here uses sudo: what is missing is named with the line that installs it, and make stops.

PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
RUN := $(UV) run --frozen --no-sync
UV_VERSION := 0.13.9
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)

.PHONY: demo test bench bench-quick bench-peers check build wheel needs clean format test-rust test-python screenshots

demo: build
	$(VENV)/bin/queenright demo $(DEMO_ARGS)

test: build test-rust test-python

test-rust: needs
	cargo test --locked --workspace --exclude queenright-py

test-python: build
	$(RUN) pytest $(PYTEST_ARGS)

check: build
	$(RUN) python scripts/check.py

build: needs $(VENV)/.built

# Rebuilt when a Rust file, a manifest or the lock changed; Python is installed in place and needs no build.
RUST := $(shell find core-rs -name '*.rs' -o -name Cargo.toml -o -name '*.h' 2>/dev/null) Cargo.toml Cargo.lock
$(VENV)/.built: pyproject.toml uv.lock $(RUST)
	test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	$(UV) sync --frozen --no-install-project --inexact --quiet --python $(VENV)/bin/python
	$(VENV)/bin/maturin develop --release --locked --uv --quiet
	touch $@

# How fast, against whom: bench/README.md. Peers that were not got by `bench-peers` are named and left out.
bench: build
	$(RUN) python -m bench $(BENCH_ARGS)

bench-quick: build
	$(RUN) python -m bench --mode quick $(BENCH_ARGS)

bench-peers: build
	@sh bench/peers/get.sh "$(CURDIR)/$(UV)" "$(CURDIR)/$(VENV)/bin/python"

wheel: build
	rm -rf dist && $(VENV)/bin/maturin build --release --locked --sdist --out dist

needs:
	@sh scripts/needs.sh $(PYTHON)

format: build
	cargo fmt --all
	$(RUN) ruff format .
	$(RUN) ruff check --fix --quiet . || true

screenshots: build
	$(RUN) python scripts/screenshots.py

clean:
	rm -rf $(VENV) target dist
