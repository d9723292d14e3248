"""`make check`: everything that can be said about the tree without running it. Prints one line a check, exits 1 if any failed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTHON_PARTS = ["pysrc/queenright", "tui/queenright_tui", "tests", "scripts", "examples", "bench"]

# What the pure core may depend on, directly or not, says nothing about I/O; these would.
IMPURE_CRATES = {
    "pyo3",
    "tokio",
    "mio",
    "rusqlite",
    "libsqlite3-sys",
    "landlock",
    "nix",
    "rustix",
    "socket2",
    "async-io",
}
IMPURE_PATHS = re.compile(
    r"\bstd::(fs|net|process|thread|time|env|os|io::(stdin|stdout|stderr))\b|\bSystemTime\b|\bInstant\b|\bunsafe\b"
)


def command(*argv: str) -> Callable[[], str]:
    def run() -> str:
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
        return (
            "" if done.returncode == 0 else (done.stdout + done.stderr).strip() or f"exit {done.returncode}"
        )

    return run


def pure_core_dependencies() -> str:
    """The crate of pure state machines pulls in nothing that does I/O."""
    argv = [
        "cargo",
        "tree",
        "--locked",
        "-p",
        "queenright-core",
        "-e",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr
    crates = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    return "\n".join(f"queenright-core depends on {name}" for name in sorted(crates & IMPURE_CRATES))


def pure_core_sources() -> str:
    """No clock, thread, file, socket or unsafe block in its sources."""
    found = []
    for path in sorted((ROOT / "core-rs/queenright-core/src").rglob("*.rs")):
        if path.stem.endswith("tests"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.strip().startswith("#[cfg(test)]"):
                break
            if IMPURE_PATHS.search(line.split("//")[0]):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    return "\n".join(found)


def unsafe_only_in_sandbox() -> str:
    """`unsafe` stands in one crate only."""
    found = []
    for path in sorted((ROOT / "core-rs").rglob("*.rs")):
        if "queenright-sandbox" in path.parts or "target" in path.parts:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\bunsafe\b", line.split("//")[0]) and "unsafe_code" not in line:
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    return "\n".join(found)


def only_core_imports_the_compiled_core() -> str:
    """`_core` is reached through `queenright.core` and nowhere else (import-linter cannot see a compiled module)."""
    found = []
    for path in sorted((ROOT / "pysrc/queenright").rglob("*.py")) + sorted((ROOT / "tui").rglob("*.py")):
        if path.parent == ROOT / "pysrc/queenright/core":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if (
                re.match(r"\s*(from|import)\s+queenright\._core\b", line)
                or "from queenright import _core" in line
            ):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    return "\n".join(found)


def rust_version_is_the_highest_needed() -> str:
    """`rust-version` equals the highest any locked dependency states: lower would be untrue, higher would shut people out."""
    argv = ["cargo", "metadata", "--locked", "--format-version", "1"]
    meta = json.loads(subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    used = _linux_packages(meta)

    def key(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".")[:2])

    need = max((p["rust_version"] for p in meta["packages"] if p["id"] in used and p["rust_version"]
                and not p["name"].startswith("queenright")), key=key)  # fmt: skip
    ours = re.search(r'^rust-version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)
    if ours is None or key(ours.group(1)) != key(max(need, "1.85", key=key)):
        return f"rust-version is {ours and ours.group(1)}, the dependencies need {need}"
    return ""


def _linux_packages(meta: dict[str, object]) -> set[str]:
    argv = ["cargo", "tree", "--locked", "--workspace", "-e", "all", "--prefix", "none", "--format", "{p}"]
    tree = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {tuple(line.split()[:2]) for line in tree.splitlines() if line.strip()}
    return {
        p["id"]
        for p in meta["packages"]
        if (p["name"], f"v{p['version']}") in names  # type: ignore[index, attr-defined]
    }


def checking_crate(name: str) -> list[tuple[str, Callable[[], str]]]:
    """rustfmt and clippy of a crate that is a workspace of its own."""
    manifest = f"core-rs/{name}/Cargo.toml"
    lint = ["--all-targets", "--locked", "--quiet", "--target-dir", "target", "--", "-D", "warnings"]
    return [
        (f"rustfmt {name}", command("cargo", "fmt", "--manifest-path", manifest, "--check")),
        (f"clippy {name}", command("cargo", "clippy", "--manifest-path", manifest, *lint)),
    ]


CHECKS: list[tuple[str, Callable[[], str]]] = [
    ("rustfmt", command("cargo", "fmt", "--all", "--check")),
    ("ruff format", command(str(BIN / "ruff"), "format", "--check", ".")),
    ("ruff", command(str(BIN / "ruff"), "check", ".")),
    ("mypy --strict", command(str(BIN / "mypy"))),
    (
        "mypy --strict bench",
        command(str(BIN / "mypy"), "--exclude", r"bench/(peers|behaviours|\.peers)/", "bench"),
    ),
    ("stubtest", command(str(BIN / "stubtest"), "queenright._core")),
    ("import contracts", command(str(BIN / "lint-imports"), "--no-cache")),
    ("only core imports _core", only_core_imports_the_compiled_core),
    ("pure core: dependencies", pure_core_dependencies),
    ("pure core: sources", pure_core_sources),
    ("unsafe in one crate", unsafe_only_in_sandbox),
    ("rust-version", rust_version_is_the_highest_needed),
    (
        "clippy",
        command(
            "cargo", "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"
        ),
    ),
    *(check for crate in ("queenright-properties", "queenright-models") for check in checking_crate(crate)),
]


def main() -> int:
    failed = 0
    for name, check in CHECKS:
        trouble = check()
        print(f"{'FAIL' if trouble else 'ok  '} {name}", flush=True)
        if trouble:
            failed += 1
            print("\n".join(f"     {line}" for line in trouble.splitlines()[-60:]), flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
