#!/bin/sh
# `make bench-peers`: install or build every peer this machine can have. What it cannot have is named, with the line that gets it.
# Without network, or as an ordinary user, the rest is still done. Exits 1 if something that should have worked did not.
cd "$(dirname "$0")/../.." || exit 1
uv=$1
python=$2
into=bench/.peers
failed=0
mkdir -p "$into/go" "$into/beam"

step() { # name, command...: run it and say how it went
    name=$1
    shift
    if "$@"; then echo "$name: here"; else echo "$name: FAILED: $*"; failed=1; fi
}

step "uvloop, xoscar, autogen-core, pykka" \
    env UV_PROJECT_ENVIRONMENT="$PWD/$into/python" "$uv" sync --frozen --quiet --project bench/peers/python --python "$python"

if command -v go >/dev/null; then
    step "Go" go build -C bench/peers/go -o "$PWD/$into/go/peer" .
else
    echo "Go: not here: https://go.dev/dl/ (1.24 or newer)"
fi

step "tokio, ractor, kameo" \
    cargo build --release --locked --quiet --manifest-path bench/peers/rust/Cargo.toml --target-dir bench/peers/rust/target

if ! command -v erlc >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get install -y -qq --no-install-recommends erlang-base
fi
if command -v erlc >/dev/null; then
    step "BEAM" erlc -o "$into/beam" bench/peers/beam/bench_peer.erl
else
    echo "BEAM: not here: apt-get install erlang-base"
fi
exit $failed
