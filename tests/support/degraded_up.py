"""A supervisor where nobody makes namespaces, by an operator's word: agents work, commands are refused, and what stands is said everywhere.

Run as an ordinary user under `no_namespaces.py all`, in an empty directory.
"""

from __future__ import annotations

from pathlib import Path

from supervised import Supervised

PACKAGE = """
from queenright.agent import Agent, Context

class Hello(Agent):
    async def on_start(self, ctx: Context) -> None:
        ctx.log(f"hello from {ctx.self.name}")
        try:
            await ctx.shell("echo kept > made; cat made; pwd")
        except Exception as error:
            ctx.log(f"no shell: {error}")
"""
INTENT = """
[intent]
purpose = "say hello"
swarm = "hi"
for = "10m"
depth = 1
max_agents = 4

[run]
start = "hello.Hello"
packages = ["hello"]

[[allow]]
do = ["shell.run"]
on = "ws:self"
"""


def main() -> None:
    base = Path.cwd() / "base"
    base.mkdir()
    world = Supervised(base)
    try:
        refused = ""
        try:
            world.up()
        except AssertionError as error:
            refused = str(error)
        assert "bubblewrap is no way round it" in refused, refused
        assert '"exit": 6' in refused, refused
        world.daemon = None
        world.up(degraded="landlock")
        world.add("hello", PACKAGE, classes='"Hello"')
        world.apply(INTENT)
        world.until(
            "a command is refused by name", lambda: any("overlay" in line for line in world.log("hi/hello"))
        )
        assert "hello from hi/hello" in world.log("hi/hello")
        for told in (world.call("health"), world.call("status")):
            assert (told["tier"], told["memory"]) == ("landlock-strict", "soft"), told
        (started,) = [entry for entry in world.entries() if entry["kind"] == "supervisor.started"]
        assert started["facts"]["tier"] == "landlock-strict", started
        assert "supervisor.tier" in world.paths.log.read_text()
    finally:
        world.close()


if __name__ == "__main__":
    main()
