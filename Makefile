# The two commands of the README are `make demo` and `make test`; everything else serves them.
# Nothing here uses sudo: what is missing is named with the line that installs it, and make stops.

PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
RUN := $(UV) run --frozen --no-sync
UV_VERSION := 0.13.9
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/$(VENV)

.PHONY: demo test bench bench-quick bench-peers check build wheel needs clean format test-rust test-python \
	screenshots fuzz fuzz-rust fuzz-python miri asan

demo: build
	$(VENV)/bin/queenright demo $(DEMO_ARGS)

test: build test-rust test-python

# Crates that ship in nothing: what must hold for any bytes, and the lock-free part under loom.
CHECKING := queenright-properties queenright-models

test-rust: needs
	cargo test --locked --workspace --exclude queenright-py
	for crate in $(CHECKING); do cargo test --locked --manifest-path core-rs/$$crate/Cargo.toml --target-dir target || exit 1; done

# A file's tests stay in one process. `make test-python WORKERS=0` runs them in one, for a debugger.
WORKERS := 2
test-python: build
	$(RUN) pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

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
	for crate in $(CHECKING); do cargo fmt --manifest-path core-rs/$$crate/Cargo.toml; done
	$(RUN) ruff format .
	$(RUN) ruff check --fix --quiet . || true

# Slow checks, each by itself: they need nightly Rust (rustup toolchain install nightly), `cargo install cargo-fuzz --locked`,
# for miri its component (rustup +nightly component add miri) and a C++ compiler. fuzz/README.md, docs/decisions say what they cover.
FUZZ_SECONDS ?= 120
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

fuzz: fuzz-rust fuzz-python

fuzz-rust:
	cd fuzz && cargo +nightly fuzz build
	cd fuzz && for target in $(FUZZ_TARGETS); do \
		mkdir -p corpus/$$target && cargo +nightly fuzz run $$target corpus/$$target seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=30 -rss_limit_mb=1024 || exit 1; \
	done

fuzz-python: build
	$(RUN) python scripts/fuzz_python.py $(FUZZ_SECONDS)

# What runs under an interpreter a thousand times slower: the state machines and codecs. Cryptography is left to its vectors.
miri:
	PROPTEST_CASES=2 MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --locked --target-dir target/miri \
		-p queenright-core --lib --test scheduler_model --test steps -- \
		--skip signature --skip seal --skip sshsig --skip operator_key --skip batch:: --skip a_document_has_so_many_values

# The one crate with unsafe: its tests, then its launcher in real sandboxes (less what scripts/asan_launcher.py leaves out).
ASAN := RUSTFLAGS=-Zsanitizer=address cargo +nightly
asan: build
	$(ASAN) test --locked --target-dir target/asan --target $(HOST) -p queenright-sandbox
	$(ASAN) build --locked --target-dir target/asan --target $(HOST) -p queenright-sandbox
	$(RUN) python scripts/asan_launcher.py target/asan/$(HOST)/debug/queenright-launch

screenshots: build
	$(RUN) python scripts/screenshots.py

clean:
	rm -rf $(VENV) target dist fuzz/target fuzz/corpus fuzz/artifacts
