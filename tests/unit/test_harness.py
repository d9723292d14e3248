"""`queenright.testing`: what a test of a behaviour can do and see, and that the checks in it are the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from queenright.agent import (
    Agent,
    AgentRef,
    Allow,
    AskExpired,
    Context,
    Denied,
    Message,
    Shell,
    UnknownOutcome,
    handles,
)
from queenright.errors import Conflict
from queenright.testing import Harness, NoResult

INTENT = """
[intent]
purpose = "test"
swarm = "test"
for = "1h"
depth = 1
max_agents = 3
[run]
start = "test_harness.Worker"
packages = ["test_harness"]
[[allow]]
do = ["metrics.read", "fs.write", "fs.read", "shell.run"]
on = "**"
[[allow]]
do = ["svc.restart"]
on = "svc:shop/web"
max = 2
[[allow]]
do = ["db.session.kill"]
on = "db:**"
[[allow]]
do = ["config.restore"]
on = "svc:shop/web"
[[ask]]
do = ["release.rollback"]
on = "rel:shop"
approvers = "@oncall"
answer_within = "10m"
max = 1
[delegate]
only = ["config.restore"]
"""


class Try(Message):
    verb: str
    resource: str


class Work(Message):
    what: str = ""


class Beat(Message, volatile=True):
    pass


@dataclass
class Diary:
    lines: list[str] = field(default_factory=list)
    beats: int = 0


class Worker(Agent):
    state: Diary

    @handles
    async def try_(self, ctx: Context, message: Try) -> None:
        try:
            value = await ctx.act(message.verb, message.resource, reason="because")
            self.state.lines.append(f"got {value}")
        except (Denied, AskExpired, UnknownOutcome) as refused:
            self.state.lines.append(f"{refused.code} {getattr(refused, 'reason', '')}".strip())

    @handles
    async def work(self, ctx: Context, message: Work) -> None:
        if message.what == "files":
            await ctx.files.write("a.txt", b"hello")
            shell = await ctx.shell("wc a.txt", timeout=5)
            self.state.lines.append(f"{(await ctx.files.read('a.txt')).decode()} {shell.out}")
            assert isinstance(shell, Shell)
        elif message.what == "spawn":
            await ctx.spawn(Worker, name="kid", exercise=[Allow("metrics.read", "svc:shop/web")])
        elif message.what == "greedy":
            await ctx.spawn(Worker, exercise=[Allow("secret.reveal", "**")])
        elif message.what == "sleep":
            ctx.every(10, Beat())
            await ctx.sleep(60)
            self.state.lines.append("woke")
        elif message.what == "forever":
            ctx.send(ctx.self, Work("forever"))
        else:
            raise ValueError(message.what)

    @handles
    async def beat(self, ctx: Context, message: Beat) -> None:
        self.state.beats += 1


@pytest.fixture
def harness() -> Iterator[Harness]:
    found = Harness(intent=INTENT)
    yield found
    found.close()


def lines(harness: Harness, agent: AgentRef) -> list[str]:
    return list(harness.state(agent).lines)


def test_what_the_intent_allows_runs_with_the_scripted_result(harness: Harness) -> None:
    harness.on("metrics.read", result=lambda act: {"for": act.resource})
    harness.on("metrics.read", "svc:b", {"p99": 7})
    agent = harness.start(Worker)
    for resource in ("svc:a", "svc:b"):
        harness.send(agent, Try("metrics.read", resource))
    assert lines(harness, agent) == ["got {'for': 'svc:a'}", "got {'p99': 7}"]
    assert [(act.verb, act.reason) for act in harness.acts(agent)] == [("metrics.read", "because")] * 2


def test_budgets_are_the_real_ones(harness: Harness) -> None:
    harness.on("svc.restart")
    agent = harness.start(Worker)
    for _ in range(3):
        harness.send(agent, Try("svc.restart", "svc:shop/web"))
    assert lines(harness, agent) == ["got None", "got None", "denied"]


def test_what_no_rule_names_and_what_may_only_be_handed_down_is_denied(harness: Harness) -> None:
    agent = harness.start(Worker)
    harness.send(agent, Try("secret.reveal", "vault:x"))
    harness.send(agent, Try("config.restore", "svc:shop/web"))
    assert lines(harness, agent) == ["denied", "denied"]


def test_without_an_intent_every_act_is_denied() -> None:
    harness = Harness()
    agent = harness.start(Worker)
    harness.send(agent, Try("metrics.read", "svc:a"))
    assert lines(harness, agent) == ["denied"]
    harness.send(agent, Work("greedy"))
    assert "no intent" in harness.errors(agent)[0]
    harness.close()


def test_an_ask_waits_for_the_tests_verdict(harness: Harness) -> None:
    harness.on("release.rollback", result="rolled back")
    agent = harness.start(Worker)
    harness.send(agent, Try("release.rollback", "rel:shop"))
    assert lines(harness, agent) == []
    [ask] = harness.asks
    assert (ask.agent, ask.verb, ask.resource, ask.reason) == (
        "worker",
        "release.rollback",
        "rel:shop",
        "because",
    )
    ask.approve()
    assert lines(harness, agent) == ["got rolled back"]
    with pytest.raises(Conflict):
        ask.deny()


def test_an_approval_does_not_reach_past_the_budget(harness: Harness) -> None:
    harness.on("release.rollback")
    agent, other = harness.start(Worker), harness.start(Worker, name="other")
    for each in (agent, other):
        harness.send(each, Try("release.rollback", "rel:shop"))
    first, second = harness.asks
    first.approve()
    second.approve()
    assert lines(harness, agent) == ["got None"]
    assert lines(harness, other) == ["denied"]


def test_a_denial_and_no_answer_reach_the_agent(harness: Harness) -> None:
    agent = harness.start(Worker)
    harness.send(agent, Try("release.rollback", "rel:shop"))
    harness.asks[0].deny("not now")
    harness.send(agent, Try("release.rollback", "rel:shop"))
    harness.asks[1].expire()
    assert lines(harness, agent) == ["denied not now", "ask_expired"]


def test_an_open_ask_survives_a_crash_and_the_act_happens_once(harness: Harness) -> None:
    ran = []
    harness.on("release.rollback", result=ran.append)
    agent = harness.start(Worker)
    harness.send(agent, Try("release.rollback", "rel:shop"))
    harness.crash()
    harness.asks[0].approve()
    assert lines(harness, agent) == ["got None"]
    assert len(ran) == len(harness.asks) == 1


def test_what_cannot_be_undone_asks_unless_the_intent_names_it(harness: Harness) -> None:
    harness.on("db.session.kill")
    agent = harness.start(Worker)
    harness.send(agent, Try("db.session.kill", "db:shop/main"))
    assert lines(harness, agent) == ["got None"]
    careful = Harness(intent=INTENT.replace('do = ["db.session.kill"]', 'do = ["db.session.*"]'))
    agent = careful.start(Worker)
    careful.send(agent, Try("db.session.kill", "db:shop/main"))
    assert [ask.verb for ask in careful.asks] == ["db.session.kill"]
    careful.close()


def test_an_act_without_a_scripted_result_fails_the_test_and_not_the_agent(harness: Harness) -> None:
    agent = harness.start(Worker)
    with pytest.raises(NoResult, match=r"no result for metrics\.read"):
        harness.send(agent, Try("metrics.read", "svc:a"))


def test_a_scripted_refusal_is_raised_into_the_agent(harness: Harness) -> None:
    harness.on("metrics.read", result=UnknownOutcome("nobody saw its end"))
    agent = harness.start(Worker)
    harness.send(agent, Try("metrics.read", "svc:a"))
    assert lines(harness, agent) == ["unknown_outcome"]


def test_children_get_a_grant_inside_their_parents(harness: Harness) -> None:
    harness.on("metrics.read", result=1)
    agent = harness.start(Worker)
    harness.send(agent, Work("spawn"))
    [kid] = harness.children(agent)
    assert kid.name == "worker/kid"
    harness.send(kid, Try("metrics.read", "svc:shop/web"))
    harness.send(kid, Try("metrics.read", "svc:other"))
    assert lines(harness, kid) == ["got 1", "denied"]
    harness.send(agent, Work("greedy"))
    assert "Denied" in harness.errors(agent)[0]


def test_files_and_shell_are_acts_on_its_own_workspace(harness: Harness) -> None:
    harness.on("fs.write", "ws:self", None)
    harness.on("fs.read", "ws:self", b"hello")
    harness.on("shell.run", "ws:self", {"code": 0, "out": b"1 a.txt", "err": b""})
    agent = harness.start(Worker)
    harness.send(agent, Work("files"))
    assert lines(harness, agent) == ["hello 1 a.txt"]
    assert harness.acts(agent)[1].args == {"command": "wc a.txt", "timeout_ms": 5000}


def test_time_passes_only_when_told(harness: Harness) -> None:
    agent = harness.start(Worker)
    harness.send(agent, Work("sleep"))
    harness.advance(59)
    assert lines(harness, agent) == []
    harness.advance(1)
    assert lines(harness, agent) == ["woke"]
    harness.advance(30)
    assert harness.state(agent).beats >= 3


def test_agents_that_never_stop_fail_the_test(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queenright.testing.harness.MAX_STEPS", 500)
    agent = harness.start(Worker)
    with pytest.raises(AssertionError, match="still busy"):
        harness.send(agent, Work("forever"))


def test_a_failing_handler_shows_its_error(harness: Harness) -> None:
    agent = harness.start(Worker)
    harness.send(agent, Work("boom"))
    assert harness.errors(agent)[0].endswith("ValueError: boom")
    with pytest.raises(AssertionError, match="boom"):
        harness.call(agent, Work("boom"))


def test_an_agent_can_begin_with_a_state_and_be_stopped(harness: Harness) -> None:
    agent = harness.start(Worker, state=Diary(["before"]), args={"n": 1})
    assert lines(harness, agent) == ["before"]
    assert harness.args(agent) == {"n": 1}
    harness.stop(agent)
    assert harness.ended(agent)
