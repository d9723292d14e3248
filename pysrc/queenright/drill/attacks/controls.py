"""What must go on working beside every wall: a sandbox in which nothing works would stop every attack too.

Each is a coroutine that returns what it did, and raises when it could not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .kit import At
from .messages import Ping, Pong

__all__ = ["USABILITY"]

USABILITY: dict[str, tuple[str, Callable[[At], Awaitable[str]]]] = {}


def usable(function: Callable[[At], Awaitable[str]]) -> Callable[[At], Awaitable[str]]:
    USABILITY[function.__name__.replace("_", "-")] = (" ".join((function.__doc__ or "").split()), function)
    return function


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise ValueError(f"{found!r} instead of {wanted!r}")


@usable
async def compute(at: At) -> str:
    """Python runs, with its standard library."""
    import hashlib

    # FIPS 180-4's own example.
    expect(hashlib.sha256(b"abc").hexdigest()[:16], "ba7816bf8f01cfea")
    expect(sum(range(1000)), 499_500)
    return "computed"


@usable
async def use_a_scratch_file(at: At) -> str:
    """A cell writes to and reads from its own /tmp."""
    path = f"{at.here}/drill-scratch"
    with open(path, "wb") as file:
        file.write(b"scratch")
    with open(path, "rb") as file:
        expect(file.read(), b"scratch")
    return "wrote and read /tmp"


@usable
async def write_and_read_the_workspace(at: At) -> str:
    """A command's file becomes a version, and fs.read gives it back."""
    done = await at.ctx.shell("mkdir -p kept && printf drill > kept/file", timeout=10)
    expect(done.code, 0)
    expect(await at.ctx.files.read("kept/file"), b"drill")
    return "kept a version"


@usable
async def run_a_command(at: At) -> str:
    """A shell with pipes and the machine's programs."""
    done = await at.ctx.shell(
        "echo one two | wc -w && id -u > /dev/null && ls /usr/bin > /dev/null && echo fine", timeout=10
    )
    expect(done.out.split(), ["2", "fine"])
    return "ran a command"


@usable
async def start_processes_in_a_command(at: At) -> str:
    """A command may fork as shells do."""
    done = await at.ctx.shell("for i in 1 2 3 4 5 6 7 8; do sleep 0.05 & done; wait; echo done", timeout=10)
    expect(done.out.strip(), "done")
    return "ran eight at once"


@usable
async def message_a_neighbour(at: At) -> str:
    """A message to an agent in another cell, sealed and signed, and its answer."""
    expect(type(await at.ctx.call(at.facts["neighbour"], Ping(), timeout=8)).__name__, Pong.__name__)
    return "was answered"


@usable
async def spawn_a_child(at: At) -> str:
    """A child with a narrower grant is born."""
    child = await at.ctx.spawn("drill.Sink", name=f"child-{(await at.ctx.random(4)).hex()}")
    expect(len(child.id), 32)
    return "a child was born"


@usable
async def tell_the_time(at: At) -> str:
    """The clock and random bytes as recorded steps."""
    expect(await at.ctx.now() > 1_700_000_000_000, True)
    expect(len(await at.ctx.random(16)), 16)
    return "told the time"
