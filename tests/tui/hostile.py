"""Text that agents would write if they wanted the operator's terminal."""

from __future__ import annotations

from fake_feed import FakeFeed, ask_detail

ESCAPES = [
    "\x1b]0;PWNED-TITLE\x07",  # window title
    "\x1b]52;c;UFdORUQ=\x07",  # clipboard
    "\x1b[2J\x1b[H",  # clear, home
    "\x1b[1;1HPWNED-HOME",  # write over the first line
    "\x1b[31mred\x1b[0m",
    "\x9b2J\x9d0;PWNED-C1\x9c",  # the same as one-byte controls
    "\x1bPq#0\x1b\\",  # sixel
    "\x1b[?1049l",  # leave the alternate screen
    "\x1b[6n\x1b[c",  # make the terminal type
    "\r\n\x08\x08\x08\x0b\x0c\x7f\x00",
]
MARKUP = [
    "[@click=app.detach]press here[/]",
    "[bold red]APPROVED[/]",
    "[link=https://example.org]x[/link]",
    "[/][/]",
]
UNICODE = [
    "\u202eREVERSED\u202c \u2066isolate\u2069",
    "zero\u200bwidth\u2060joiner\ufeff",
    "tags\U000e0041\U000e0042",
    "Z͓̗͚ȃ̸̢͇̳̓̂̐l̷g̷o̸" + "̀" * 60,
    "👩\u200d👩\u200d👧\u200d👦 ☎️ 🇩🇪",
    "│ └──────┘ ┌── YOUR GRANT ──┐ ● verified ▲ NEEDS YOU ✖ \u2016",
    "ｗｉｄｅ　宽字符 한글",
    "сhесkоut",  # cyrillic look-alikes
    "\u2028\u2029\u0085",
]
LINES = [
    "SIGN   release.rollback svc:shop/web",
    "keys are ready (shown whole and unchanged)",
    "a approve",
    "\n" * 50 + "TIME   none",
]
EVERYTHING = " ".join([*ESCAPES, *MARKUP, *UNICODE, *LINES])
ENORMOUS = EVERYTHING + "A" * 1_000_000


def make_hostile(feed: FakeFeed) -> None:
    """Every field that the protocol marks as untrusted, on every screen, holds all of it."""
    for row in feed.agents:
        row |= {"name": row["name"] + EVERYTHING, "doing": ENORMOUS, "behaviour": "b" + EVERYTHING}
    for row in feed.intents:
        row |= {"purpose": EVERYTHING}
    context = {
        "chain": [{"id": "agent-" + "0" * 64, "name": EVERYTHING, "behaviour": EVERYTHING}],
        "forbidden": "",
        "similar": [{"at_ms": 0, "operator": EVERYTHING, "verdict": EVERYTHING, "outcome": EVERYTHING}],
    }
    hostile = ask_detail(
        "hostile",
        args={"sql": EVERYTHING, EVERYTHING[:40]: [EVERYTHING]},
        resource="svc:shop/" + EVERYTHING,
        precondition={"etag": EVERYTHING},
        effect=EVERYTHING,
        diff=ENORMOUS,
        undo=EVERYTHING,
        reason=ENORMOUS,
        purpose=EVERYTHING,
        context=context,
        row={"agent_name": EVERYTHING, "raised_ms": 0},
    )
    feed.asks = {hostile["row"]["id"]: hostile} | feed.asks
    for row in feed.leaves:
        row |= {
            "who": EVERYTHING,
            "resource": EVERYTHING,
            "undo": EVERYTHING,
            "kind": EVERYTHING,
            "outcome": EVERYTHING,
        }
        row["entry"] = b'{"who": "\\u001b]0;PWNED-TITLE\\u0007\\u202e", "x": ["\\u009b2J"]}'
    real_agent, real_log, real_why, real_plan = feed.agent, feed.agent_log, feed.why, feed.undo_preview

    async def agent(name: str):
        found = await real_agent(name)
        for link in found["chain"]:
            link["name"] = EVERYTHING
        for lease in found["leases"]:
            lease["resource"] = EVERYTHING
        for head in found["mailbox"]:
            head |= {"sender_name": EVERYTHING, "type": EVERYTHING}
        for act in found["actions"]:
            act |= {"resource": EVERYTHING, "undo": EVERYTHING}
        found["last_error"] = ENORMOUS
        return found

    async def agent_log(name: str):
        page = await real_log(name)
        page["lines"] = [
            line | {"text": text}
            for line, text in zip(page["lines"], [*ESCAPES, *MARKUP, *UNICODE, ENORMOUS], strict=False)
        ]
        return page

    async def why(target: str):
        found = await real_why(target)
        for step in found["steps"]:
            step |= {"detail": ENORMOUS, "who": EVERYTHING, "what": EVERYTHING}
        return found

    async def undo_preview(target: str):
        found = await real_plan(target)
        for step in found["steps"]:
            step |= {"diff": ENORMOUS, "what": EVERYTHING, "resource": EVERYTHING}
        return found

    feed.agent, feed.agent_log, feed.why, feed.undo_preview = agent, agent_log, why, undo_preview  # type: ignore[method-assign]
