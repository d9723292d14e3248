"""What a cell whose code is hostile says on its link: frames that no cell of ours sends.

The frames go through the cell's own link object, found on its stack: code in a cell can do that, and nothing in the cell is
a wall against it. If the supervisor answers the next step, it took the frame: the attack was not stopped. If it was, the
cell is gone, and the ledger's entry is the only witness.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from queenright.core import canonical, decode

from .kit import At, NotRun, attack
from .messages import Ping, Pong, Whisper

FRAMES = "runtime: frames are checked; the cell ends"
SEALS = "runtime: signature, chain and sequence of each batch"
LEAF = "protocol.violation"
# Nobody in the cell hears of the stop: the ledger's entry stands for it.
ENDED = "ended"


def link() -> Any:
    """This cell's end of its link."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        found = frame.f_locals.get("link")
        if hasattr(found, "pump"):
            return found
    raise NotRun("no frame of this process holds its link")


def say(body: bytes) -> None:
    link()._out.extend(len(body).to_bytes(4, "big") + body)


async def answered(at: At) -> str:
    await at.ctx.random(1)
    return "the supervisor took it and the cell went on"


@attack("ledger", "link", FRAMES, ENDED, leaf=LEAF, says="unknown link frame")
async def write_a_ledger_entry(at: At) -> str:
    """A cell sends a leaf. Harmless: it tells of the drill itself."""
    say(canonical({"t": "leaf", "kind": "action.done", "facts": {"drill": True}}))
    return await answered(at)


@attack("self-approval", "link", FRAMES, ENDED, leaf=LEAF, says="unknown link frame")
async def send_a_verdict(at: At) -> str:
    """A cell answers an ask. Harmless: the ask does not exist."""
    say(canonical({"t": "verdict", "ask": bytes(32), "answer": "once"}))
    return await answered(at)


@attack("grants", "link", FRAMES, ENDED, leaf=LEAF, says="unknown link frame")
async def send_a_lease(at: At) -> str:
    """A cell gives itself a lease. Harmless: of the decoy secret."""
    say(canonical({"t": "lease", "secret": at.facts["secret"], "for_ms": 1}))
    return await answered(at)


@attack("policy", "link", FRAMES, ENDED, leaf=LEAF, says="unknown link frame")
async def change_its_grant(at: At) -> str:
    """A cell sends itself a wider grant. Harmless: on a resource that does not exist."""
    say(canonical({"t": "grant", "verbs": ["svc.restart"], "resource": "svc:drill/decoy"}))
    return await answered(at)


@attack("frames", "link", FRAMES, ENDED, leaf=LEAF, says="a cell does not send")
async def say_what_only_the_supervisor_says(at: At) -> str:
    """A cell sends the end of a cell. Harmless: its own, if anybody obeyed."""
    say(canonical({"t": "shutdown"}))
    return await answered(at)


@attack("frames", "link", FRAMES, ENDED, leaf=LEAF, says="over the limit")
async def send_a_frame_without_end(at: At) -> str:
    """A frame that says it has 4 GiB. Harmless: none of them follow."""
    link()._out.extend(b"\xff\xff\xff\xff")
    return await answered(at)


@attack("frames", "link", FRAMES, ENDED, leaf=LEAF, says="")
async def send_rubbish(at: At) -> str:
    """Bytes that are no frame. Harmless: a hundred of them."""
    say(b"\xc1" * 100)
    return await answered(at)


@attack("another's handle", "link", FRAMES, ENDED, leaf=LEAF, says="does not host")
async def end_a_turn_of_another_agent(at: At) -> str:
    """The handle of an agent in another cell. Harmless: that agent is the drill's own decoy, and has no such turn."""
    say(
        canonical(
            {
                "t": "end", "agent": at.facts["neighbour"], "turn": 999_999, "ok": False, "error": "drill",
                "state": None, "state_version": 1, "ops": [], "reply": None,
            }
        )
    )  # fmt: skip
    return await answered(at)


@attack("another's handle", "link", FRAMES, ENDED, leaf=LEAF, says="does not host")
async def rest_another_agent(at: At) -> str:
    """Put a state under another agent. Harmless: that agent is the drill's own decoy, and its state is empty."""
    say(canonical({"t": "rest", "agent": at.facts["neighbour"], "state": canonical({}), "state_version": 1}))
    return await answered(at)


@attack("identity", "link", FRAMES, ENDED, leaf=LEAF, says="twice")
async def claim_a_second_key(at: At) -> str:
    """A second signing key in one life. Harmless: nothing is signed with it."""
    await pinged(at)
    say(
        canonical(
            {"t": "incarnation", "agent": at.ctx.self.id, "public_key": bytes(32), "signature": bytes(64)}
        )
    )
    return await answered(at)


async def pinged(at: At) -> None:
    """A message there and back: from now on this life has a certified key."""
    if not isinstance(await at.ctx.call(at.facts["neighbour"], Ping(), timeout=8), Pong):
        raise NotRun("the neighbour does not answer")


async def with_a_batch(at: At, change: Callable[[bytes], list[bytes]]) -> str:
    """Send a volatile message, and instead of its one batch what `change` makes of it."""
    await pinged(at)
    mine = link()
    tap = Tap(mine._out)
    tap.change = change
    mine._out = tap
    at.ctx.send(at.facts["neighbour"], Whisper(1))
    # What a turn says to other cells leaves once a round of the cell's loop.
    await at.ctx.sleep(0.05)
    if not tap.changed:
        raise NotRun("the message left as no batch")
    return await answered(at)


class Tap(bytearray):
    """The bytes that wait for a cell's link, with the first batch among them replaced as it is put there."""

    change: Callable[[bytes], list[bytes]]
    changed = False

    def __iadd__(self, data: Any) -> Tap:  # type: ignore[misc]
        body = decode(bytes(data[4:]))
        if self.changed or body["t"] != "batch":
            self.extend(data)
            return self
        self.changed = True
        for packet in self.change(body["packet"]):
            frame = canonical(body | {"packet": packet})
            self.extend(len(frame).to_bytes(4, "big") + frame)
        return self


@attack("envelopes", "link", SEALS, ENDED, leaf=LEAF, says="replayed")
async def replay_a_batch(at: At) -> str:
    """Send the same signed batch twice. Harmless: a word to the drill's own decoy agent."""
    return await with_a_batch(at, lambda packet: [packet, packet])


# Where the parts of a packet begin and end (queenright_core::batch::Packet).
SENDER, INCARNATION, SIGNATURE = (4, 36), (36, 44), (88, 152)


def changed(packet: bytes, part: tuple[int, int], by: bytes) -> list[bytes]:
    """The packet with one part replaced and everything else as it was."""
    begin, end = part
    return [packet[:begin] + by + packet[end:]]


@attack("envelopes", "link", SEALS, ENDED, leaf=LEAF, says="does not verify")
async def forge_a_batch(at: At) -> str:
    """A batch whose signature is nobody's. Harmless: a word to the drill's own decoy agent."""
    return await with_a_batch(at, lambda packet: changed(packet, SIGNATURE, b"\x01" * 64))


@attack("envelopes", "link", SEALS, ENDED, leaf=LEAF, says="does not verify")
async def alter_a_batch(at: At) -> str:
    """A batch with another last byte than was signed. Harmless: a word to the drill's own decoy agent."""
    return await with_a_batch(
        at, lambda packet: changed(packet, (len(packet) - 1, len(packet)), bytes([packet[-1] ^ 1]))
    )


@attack("dead incarnation", "link", SEALS, ENDED, leaf=LEAF, says="is in life")
async def speak_in_a_dead_incarnation(at: At) -> str:
    """A batch of an earlier life. Harmless: a word to the drill's own decoy agent."""
    begin, end = INCARNATION
    return await with_a_batch(
        at,
        lambda packet: changed(
            packet, INCARNATION, (int.from_bytes(packet[begin:end], "big") - 1).to_bytes(8, "big")
        ),
    )


@attack("envelopes", "link", SEALS, ENDED, leaf=LEAF, says="sends a batch of")
async def speak_as_another_agent(at: At) -> str:
    """A batch that names another as its sender. Harmless: the drill's own decoy agent, a word to itself."""
    return await with_a_batch(at, lambda packet: changed(packet, SENDER, at.facts["neighbour"]))
