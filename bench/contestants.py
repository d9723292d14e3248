"""Whose program is run how, whether it is here, and how to get it if not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "ROOT", "Program"]

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
BUILT = ROOT / "bench" / ".peers"
_PEER_PYTHON = BUILT / "python" / "bin" / "python"
_RUST = PEERS / "rust" / "target" / "release" / "bench-peers"
_GO = BUILT / "go" / "peer"
_BEAM = BUILT / "beam" / "bench_peer.beam"
_GET = "make bench-peers"


@dataclass(frozen=True, slots=True)
class Program:
    """`argv` before the workload's name; `extra` words after it. `missing` says how to get it, or nothing if it is here."""

    argv: Callable[[], list[str]]
    missing: Callable[[], str]
    extra: tuple[str, ...] = ()


def _here() -> str:
    return ""


def _needs(path: Path, what: str = "") -> Callable[[], str]:
    return lambda: "" if path.exists() else f"{_GET}{what}"


def _python() -> list[str]:
    """The peers' own interpreter if it was installed, else ours: plain asyncio and PyNaCl are always there."""
    return [str(_PEER_PYTHON if _PEER_PYTHON.exists() else sys.executable)]


def _script(name: str) -> Callable[[], list[str]]:
    return lambda: [*_python(), str(PEERS / "python" / name)]


def _rust(framework: str, workers: int) -> Program:
    needs = _needs(_RUST, " (needs cargo)")
    return Program(lambda: [str(_RUST), framework], needs, (f"workers={workers}",))


def _erl() -> list[str]:
    return ["erl", "-noinput", "+P", "4194304", "-pa", str(_BEAM.parent), "-run", "bench_peer", "main"]


def _no_beam() -> str:
    if shutil.which("erl") is None:
        return f"apt-get install erlang-base, then {_GET}"
    return "" if _BEAM.exists() else _GET


def _no_git() -> str:
    return "" if shutil.which("git") else "apt-get install git"


def _no_bubblewrap() -> str:
    return "" if shutil.which("bwrap") else "apt-get install bubblewrap"


def _other(name: str) -> Program:
    return Program(_script("others.py"), _needs(_PEER_PYTHON), (f"of={name}",))


PROGRAMS: dict[str, Program] = {
    "ours": Program(lambda: [sys.executable, "-m", "bench.ours"], _here),
    "ours-sealed": Program(lambda: [sys.executable, "-m", "bench.ours_sealed"], _here),
    "ours-supervised": Program(lambda: [sys.executable, "-m", "bench.supervised"], _here),
    "ours-alone": Program(lambda: [sys.executable, "-m", "bench.alone"], _here),
    "ours-commit": Program(lambda: [sys.executable, "-m", "bench.commit"], _here, ("of=ours",)),
    "git-commit": Program(lambda: [sys.executable, "-m", "bench.commit"], _no_git, ("of=git",)),
    "ours-egress": Program(lambda: [sys.executable, "-m", "bench.egress"], _here, ("of=ours",)),
    "asyncio-egress": Program(lambda: [sys.executable, "-m", "bench.egress"], _here, ("of=asyncio",)),
    "ours-launcher": Program(lambda: [sys.executable, "-m", "bench.sandboxes"], _here),
    "ours-stopping": Program(lambda: [sys.executable, "-m", "bench.stopping"], _here),
    "asyncio": Program(_script("asyncio_peer.py"), _here, ("loop=asyncio",)),
    "uvloop": Program(_script("asyncio_peer.py"), _needs(_PEER_PYTHON), ("loop=uvloop",)),
    "socket": Program(_script("socket_peer.py"), _here),
    "bubblewrap": Program(_script("sandbox_peer.py"), _no_bubblewrap),
    "bare": Program(_script("sandbox_peer.py"), _here),
    "xoscar": _other("xoscar"),
    "autogen-core": _other("autogen-core"),
    "pykka": _other("pykka"),
    "BEAM": Program(_erl, _no_beam),
    "Go": Program(lambda: [str(_GO)], _needs(_GO, " (needs go)")),
    "tokio": _rust("tokio", 1),
    "tokio, 2 threads": _rust("tokio", 2),
    "ractor": _rust("ractor", 1),
    "kameo": _rust("kameo", 1),
}
