"""Executor processes: what they reach, and what their trouble costs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from acting_world import _BOOT, Child

from queenright.actions import channel_async
from queenright.actions.executors import Executors, Target, _begin
from queenright.actions.plan import Plan
from queenright.actions.registry import all_manifests, find_manifest, find_verb
from queenright.actions.resources import Resource
from queenright.actions.verb import ActionFailed, Unsure
from queenright.broker.secret import Secret
from queenright.errors import Denied
from queenright.supervisor.launcher import Launcher, Sandbox
from queenright.supervisor.sandbox_spec import executor_spec

SECRET = Secret("shop-admin", 1, b"canary-executor-1f2e3d")


class Spawner:
    """Plain subprocesses, kept so that a test can hurt them."""

    def __init__(self) -> None:
        self.children: list[subprocess.Popen[bytes]] = []
        self.reach: list[tuple[list[str], list[str]]] = []

    async def __call__(self, read: Sequence[str], write: Sequence[str], fds: Sequence[int]) -> Child:
        self.reach.append((list(read), list(write)))
        child = subprocess.Popen(
            [sys.executable, "-c", _BOOT.format(fd=fds[3], upper=-1)], stdin=fds[0], stdout=fds[1], stderr=fds[2],
            pass_fds=[fds[3]],
        )  # fmt: skip
        self.children.append(child)
        return Child(child)


@pytest.fixture
def logs(tmp_path: Path) -> Target:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "web.jsonl").write_text('{"ts": 1}\n')
    (tmp_path / "flags.json").write_text('{"on": false}')
    return Target(Resource("svc:web", logs=(f"{tmp_path}/log/web.jsonl",)))


LOGS = find_manifest("logs.read")


async def read(executors: Executors, target: Target, **manifest: Any) -> Any:
    return await executors.read(target, replace(LOGS, **manifest), LOGS.materialise({}))


async def test_a_dead_or_hung_reader_costs_one_read_and_is_replaced(logs: Target) -> None:
    spawner = Spawner()
    executors = Executors(spawner, lambda: os.dup(2))
    assert (await read(executors, logs))["text"] == '{"ts": 1}\n'
    await read(executors, logs)
    assert len(spawner.children) == 1
    spawner.children[0].kill()
    with pytest.raises(ActionFailed, match="died") as died:
        await read(executors, logs)
    assert died.value.code == "executor_died"
    assert (await read(executors, logs))["text"]
    os.kill(spawner.children[1].pid, signal.SIGSTOP)
    with pytest.raises(ActionFailed) as hung:
        await read(executors, logs, deadline_ms=200)
    assert hung.value.code == "timed_out"
    assert (await read(executors, logs))["text"]
    moved = replace(logs, resource=replace(logs.resource, stop_seconds=7))
    await read(executors, moved)
    assert len(spawner.children) == 4
    await executors.close()
    assert all(child.poll() is not None for child in spawner.children)


async def test_an_act_gets_a_process_of_its_own_that_ends_with_it(logs: Target, tmp_path: Path) -> None:
    spawner = Spawner()
    executors = Executors(spawner)
    flags = find_manifest("flag.set")
    target = Target(Resource.from_map(logs.resource.to_map() | _flags(tmp_path)))
    async with executors.session(target, flags, SECRET) as first:
        async with executors.session(target, flags, None):
            assert len(spawner.children) == 2
        draft = await first.plan(flags, {"name": "on", "value": True})
    assert draft.precondition == {"value": False}
    assert all(child.poll() is not None for child in spawner.children)
    assert spawner.reach == [([], [str(tmp_path)])] * 2
    for child in spawner.children:
        assert SECRET.reveal().decode() not in " ".join(map(str, child.args))


def _flags(tmp_path: Path) -> dict[str, Any]:
    return {"flags": {"file": f"{tmp_path}/flags.json", "get": "", "set": ""}}


async def test_only_the_recorded_plan_runs(logs: Target, tmp_path: Path) -> None:
    executors = Executors(Spawner())
    manifest = find_manifest("flag.set")
    target = Target(Resource.from_map(logs.resource.to_map() | _flags(tmp_path)))
    async with executors.session(target, manifest, None) as session:
        draft = await session.plan(manifest, {"name": "on", "value": True})
        plan = Plan(
            "flag.set", manifest.digest, "svc:web", draft.args, draft.effect, draft.precondition, draft.undo,
            draft.undo_text, {}, "exact", "LOW",
        )  # fmt: skip
        for altered, digest in (
            (replace(plan, args={"name": "on", "value": False}), plan.digest),
            (plan, bytes(32)),
            (replace(plan, manifest=bytes(32)), replace(plan, manifest=bytes(32)).digest),
            (replace(plan, verb="fs.write"), replace(plan, verb="fs.write").digest),
        ):
            with pytest.raises(ActionFailed) as refused:
                await session._ask("run", manifest, plan=altered.encode(), digest=digest)
            assert refused.value.code == "plan_changed"
        assert (tmp_path / "flags.json").read_text() == '{"on": false}'
        await session.run(manifest, plan)
    assert '"on": true' in (tmp_path / "flags.json").read_text()


async def test_a_hung_act_is_unsure_and_a_hung_plan_is_a_failure(logs: Target, tmp_path: Path) -> None:
    spawner = Spawner()
    executors = Executors(spawner)
    manifest = replace(find_manifest("flag.set"), deadline_ms=5_000)
    quick = replace(manifest, deadline_ms=100)
    target = Target(Resource.from_map(logs.resource.to_map() | _flags(tmp_path)))
    async with executors.session(target, manifest, None) as session:
        draft = await session.plan(manifest, {"name": "on", "value": True})
        plan = Plan(
            "flag.set", manifest.digest, "svc:web", draft.args, "", draft.precondition, draft.undo, "", {},
            "exact", "LOW",
        )  # fmt: skip
        os.kill(spawner.children[0].pid, signal.SIGSTOP)
        with pytest.raises(Unsure, match="did not answer in time"):
            await session.run(quick, plan)
        with pytest.raises(ActionFailed):
            await session.plan(manifest, {"name": "on", "value": True})
    async with executors.session(target, manifest, None) as session:
        os.kill(spawner.children[1].pid, signal.SIGSTOP)
        with pytest.raises(ActionFailed) as late:
            await session.plan(quick, {"name": "on", "value": True})
        assert late.value.code == "timed_out"


async def test_an_executor_may_ask_only_for_what_its_act_needs(logs: Target) -> None:
    asked: list[tuple[str, Any]] = []

    async def answer(kind: str, facts: Any) -> dict[str, Any]:
        asked.append((kind, facts))
        raise Denied("no", verb="x", resource="y")

    executors = Executors(Spawner())
    manifest = find_manifest("svc.restart")
    async with executors.session(replace(logs, answer=answer), manifest, None) as session:
        reply = await session._answered({"kind": "start", "facts": {"argv": ["/bin/rm"]}})
        assert (reply["t"], reply["code"]) == ("refused", "denied")
    async with executors.session(logs, manifest, None) as session:
        reply = await session._answered({"kind": "start", "facts": {}})
        assert (reply["t"], reply["code"]) == ("refused", "malformed")


async def test_every_manifest_is_pinned_to_its_code_and_says_how_it_is_undone() -> None:
    manifests = all_manifests()
    assert len({manifest.digest for manifest in manifests}) == len(manifests) >= 12
    for manifest in manifests:
        assert len(manifest.code) == 32
        assert manifest.klass in ("read", "exact", "compensate", "none")
        assert replace(manifest, code=bytes(32)).digest != manifest.digest
        verb = find_verb(manifest.verb)
        wanted = ("read",) if manifest.klass == "read" else ("plan", "run", "verify", "conflict", "undo")
        assert all(callable(getattr(verb, name)) for name in wanted), manifest.verb


@pytest.mark.isolation
async def test_the_kernel_holds_an_executor_to_its_resources_paths(logs: Target, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "key").write_text("operator's key\n")
    launcher = Launcher.start()

    async def spawn(read: Sequence[str], write: Sequence[str], fds: Sequence[int]) -> Sandbox:
        spec = executor_spec(module="queenright.actions.executor", read=read, write=write)
        return await launcher.spawn(spec, tuple(fds))

    executors = Executors(spawn, lambda: os.dup(2))
    try:
        assert (await read(executors, logs))["text"] == '{"ts": 1}\n'
        # An executor that was taken over and works on another resource than its own still reaches only its own.
        reader = next(iter(executors._readers.values())).session
        stolen = Resource("svc:web", logs=(f"{tmp_path}/elsewhere/key",))
        await channel_async.send(reader._link, {"op": "begin", **_begin(Target(stolen), None)})
        await reader._reply()
        with pytest.raises(ActionFailed, match=r"Permission denied"):
            await reader.read(LOGS, LOGS.materialise({}))
        manifest = find_manifest("config.restore")
        config = Resource("svc:web", config=(f"{tmp_path}/log/web.jsonl",))
        async with executors.session(Target(config), manifest, None) as session:
            with pytest.raises(ActionFailed, match="no other version"):
                await session.plan(manifest, {"path": None, "version": "previous"})
    finally:
        await executors.close()
        launcher.close()
        await asyncio.sleep(0)
