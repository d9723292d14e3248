"""The agents of the drill: who hands out attacks, who makes them, and who is attacked."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from queenright.agent import Agent, AgentRef, Allow, Ask, Context, Undelivered, handles
from queenright.core import decode
from queenright.errors import QueenrightError

from . import files, given, granted, kernel, limits, link, processes, shell, sockets
from .controls import USABILITY
from .kit import ATTACKS, At, Attack, NotRun, Stopped, code_of
from .messages import Count, Counted, Flood, Order, Ping, Pong, Whisper

__all__ = ["Asker", "Attacker", "Neighbour", "Sink", "Warden"]

ROOMS = (files, given, granted, kernel, limits, link, processes, shell, sockets)
OWN = "ws:self"
GRANT = (Allow(("fs.read", "fs.list", "shell.run"), OWN), Ask("fs.write", OWN))
COMMAND_S = 5.0
# A text that would clear the screen, retitle the window and turn the line round, if anybody showed it as it is.
HOSTILE = "\x1b[2J\x1b]0;drill\x07\x9b31m\u202edrill\u202c\r\n"
# What a naive look at a workspace would run, follow, unpack or show: git's hooks, an archive, names.
HOSTILE_FILES = (
    "set -e; printf x > \"$(printf 'esc\\033[2Jape')\"; printf x > \"$(printf 'new\\nline')\"; "
    "printf x > \"$(printf 'not\\377utf8')\"; "
    "mkdir -p .git/objects .git/refs; echo ref: refs/heads/main > .git/HEAD; "
    "printf '[core]\\n\\trepositoryformatversion = 0\\n\\tfsmonitor = touch %s/by-git\\n' {drop} > .git/config; "
    "ln -sfn {drop} away; : > by-tar; tar --transform 's,^,{drop}/,' -cPf evil.tar by-tar"
)
HERE = "/tmp"
AGAIN = "again"


def tell(ctx: Context, **what: Any) -> None:
    """One line for the host side, which follows this agent's log."""
    ctx.log(json.dumps(what))


@dataclass
class Hands:
    number: int = 0
    attacker: bytes = b""


class Warden(Agent):
    """The swarm's first agent: it spawns the others and passes on the host's orders, one at a time."""

    cell = "own"
    state: Hands

    async def on_start(self, ctx: Context) -> None:
        neighbour = await ctx.spawn(Neighbour, name="neighbour", args=ctx.args, exercise=GRANT)
        await ctx.spawn(Asker, name="asker", exercise=GRANT)
        tell(ctx, neighbour=neighbour.id.hex())

    @handles
    async def order(self, ctx: Context, message: Order) -> None:
        if message.fresh or not self.state.attacker:
            self.state.number += 1
            attacker: AgentRef = await ctx.spawn(
                Attacker, name=f"attacker-{self.state.number}", args=ctx.args, exercise=GRANT,
                delegate=GRANT, depth=1, agents=2,
            )  # fmt: skip
            self.state.attacker = attacker.id
        tell(ctx, attacker=self.state.attacker.hex(), attack=message.attack)
        ctx.send(self.state.attacker, message)


class Attacker(Agent):
    """Makes one attack a message, and says in its log what came of it."""

    cell = "own"

    @handles
    async def order(self, ctx: Context, message: Order) -> None:
        at = At({**ctx.args, **decode(message.facts)}, HERE, ctx)
        if message.attack in USABILITY:
            await self._use(at, message.attack)
            return
        attack = ATTACKS[message.attack]
        if ctx._turn.attempt > 1:  # type: ignore[attr-defined]
            # The turn is run again because the first try ended this agent's cell: once is enough.
            tell(ctx, told=attack.name, end="not run", code=AGAIN, text="it ended its own cell")
            return
        try:
            proof = await self._make(at, attack)
        except (OSError, Stopped, QueenrightError) as stop:
            tell(ctx, told=attack.name, end="stopped", code=code_of(stop), text=str(stop)[:300])
        except NotRun as reason:
            tell(ctx, told=attack.name, end="not run", code="", text=str(reason)[:300])
        except Exception as broken:
            tell(ctx, told=attack.name, end="not run", code="", text=f"it broke: {broken!r}"[:300])
        else:
            tell(ctx, told=attack.name, end="through", code="", text=str(proof)[:300])

    async def _make(self, at: At, attack: Attack) -> str:
        if attack.place == "command":
            done = await at.ctx.shell(f"export LC_ALL=C; {attack.run(at)}", timeout=COMMAND_S)
            if done.timed_out:
                raise NotRun("its command did not end in time")
            return shell.judge(at, done.code, done.out, done.err)
        found = attack.run(at)
        if not isinstance(found, str):
            found = await found
        return str(found)

    async def _use(self, at: At, name: str) -> None:
        try:
            did = await USABILITY[name][1](at)
        except Exception as failed:
            tell(at.ctx, told=name, end="failed", code=code_of(failed), text=f"{failed!r}"[:300])
        else:
            tell(at.ctx, told=name, end="works", code="", text=did)


class Asker(Agent):
    """Waits for a person who never says yes: its ask is what others try to approve."""

    cell = "own"

    async def on_start(self, ctx: Context) -> None:
        await ctx.files.write("asked.txt", b"drill")


@dataclass
class Taken:
    n: int = 0


class Neighbour(Agent):
    """An agent in another cell, with a secret in its workspace, a hostile log, and files of hostile names."""

    cell = "own"

    async def on_start(self, ctx: Context) -> None:
        token = ctx.args["token"]
        hostile = HOSTILE_FILES.format(drop=shlex.quote(ctx.args["drop"]))
        done = await ctx.shell(f"umask 022; printf %s {token} > secret.txt; {hostile}", timeout=20)
        ctx.log(HOSTILE)
        tell(ctx, ready=done.code == 0 and not done.dropped, said=done.err[-300:])

    @handles
    async def ping(self, ctx: Context, message: Ping) -> Pong:
        return Pong()

    @handles
    async def whisper(self, ctx: Context, message: Whisper) -> None:
        """Heard, and let go."""


class Sink(Agent):
    """Takes a flood, and says how much of it came."""

    cell = "own"
    state: Taken

    @handles
    async def flood(self, ctx: Context, message: Flood) -> None:
        self.state.n += 1

    @handles
    async def count(self, ctx: Context, message: Count) -> Counted:
        return Counted(self.state.n)

    @handles
    async def back(self, ctx: Context, message: Undelivered) -> None:
        """It sends nothing that could come back."""
