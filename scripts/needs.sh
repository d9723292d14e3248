#!/bin/sh
# Names what is missing before anything is built, with the line that installs it. Changes nothing.
set -u
python=${1:-python3}
missing=0
lack() { missing=1; printf 'missing: %s\n    %s\n' "$1" "$2" >&2; }

if command -v "$python" >/dev/null 2>&1; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || lack "Python 3.11 or newer ($("$python" --version 2>&1) found)" "apt-get install python3 python3-venv"
    "$python" -c 'import venv, ensurepip' 2>/dev/null || lack "Python's venv module" "apt-get install python3-venv"
else
    lack "Python 3.11 or newer" "apt-get install python3 python3-venv"
fi
if command -v cargo >/dev/null 2>&1; then
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have=$(cargo --version | cut -d' ' -f2)
    first=$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)
    [ "$first" = "$want" ] || lack "Rust $want or newer ($have found)" "rustup update stable"
else
    lack "Rust's cargo" "install rustup from https://rustup.rs, then: rustup default stable"
fi
command -v cc >/dev/null 2>&1 || lack "a C compiler" "apt-get install gcc"
if command -v cc >/dev/null 2>&1; then
    printf '#include <stdio.h>\nint main(void){return 0;}\n' | cc -x c -fsyntax-only - 2>/dev/null \
        || lack "the C library's headers" "apt-get install libc6-dev"
fi
[ "$missing" -eq 0 ] || exit 1
