"""Grants born in a batch, over the store: spent, stopped, ended and refused as single ones are, and there again at a start."""

from __future__ import annotations

from pathlib import Path

import pytest
from authority_world import HEAD, RULES, RUNTIME, World, agent_id

from queenright.authority.grant_request import GrantRequest
from queenright.authority.grants import Grants
from queenright.authority.rule import Rule
from queenright.core import BirthBatch
from queenright.core.host import Refused
from queenright.errors import Denied, Malformed, Unknown
from queenright.store import Change

COUNT = 300
RESTART = ("svc.restart", "svc:payments")
RESTARTS = Rule("allow", ("svc.restart",), "svc:payments")
LOGS = Rule("allow", ("logs.read",), "svc:payments/api")
INTENT = HEAD.replace("max_agents = 5", "max_agents = 400\nagents_ever = 700") + RULES


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.apply(INTENT)
    return found


def batch(seed: int = 1, count: int = COUNT) -> BirthBatch:
    return BirthBatch(
        runtime=RUNTIME, intent=bytes(32), parent=agent_id(0), package=bytes(32), grant=bytes(32), family="sre/watcher",
        behaviour="sre.Scout", born_ms=1, seed=bytes([seed]) * 12, names=("s", count), args=bytes(32),
    )  # fmt: skip


def birth(world: World, born: BirthBatch, *rules: Rule, agents: int = 2, depth: int = 1) -> Change:
    request = GrantRequest(exercise=rules, delegate=rules, depth=depth, agents=agents)
    return world.grants.derive_batch(agent_id(0), born, born.root, request)


def restarted(world: World, *batches: BirthBatch) -> Grants:
    grants = Grants(
        world.store, world.time.now_ms, {id: "sre/watcher/s" for b in batches for id in b.ids()}.get
    )
    grants.load(batches)
    return grants


def act(world: World, grants: Grants, agent: bytes) -> bool:
    _, held = grants.reserve(agent, *RESTART)
    if held is None:
        return False
    world.store.commit(held.started())
    held.settle()
    return True


def test_members_spend_one_budget_across_a_restart(world: World) -> None:
    born = batch()
    world.store.commit(birth(world, born, RESTARTS))
    assert act(world, world.grants, born.id(7))
    grants = restarted(world, born)
    assert act(world, grants, born.id(7))
    grants = restarted(world, born)
    assert not act(world, grants, born.id(7))
    assert not act(world, grants, born.id(8))
    assert grants.view(agent_id(0)).agents == COUNT


def test_a_member_stopped_or_gone_stays_so_and_nobody_beside_it(world: World) -> None:
    born = batch()
    world.store.commit(birth(world, born, LOGS))
    world.store.commit(world.grants.revoke(born.id(1)))
    world.store.commit(world.grants.freeze(born.id(2)))
    world.store.commit(world.grants.end(born.id(3)))
    for grants in (world.grants, restarted(world, born)):
        found = [grants.check(born.id(at), "logs.read", "svc:payments/api").outcome for at in (0, 1, 2, 4)]
        assert found == ["allow", "deny", "deny", "allow"]
        assert born.id(3) not in grants
        assert grants.view(agent_id(0)).agents == COUNT - 1


def test_a_member_that_ends_before_its_children_is_kept_until_they_end(world: World) -> None:
    born = batch()
    world.store.commit(birth(world, born, LOGS))
    below = GrantRequest(exercise=(LOGS,))
    world.store.commit(world.grants.derive(born.id(5), agent_id(99), "sre/kid", below))
    world.store.commit(world.grants.end(born.id(5)))
    grants = restarted(world, born)
    assert grants.dead(agent_id(99))
    world.store.commit(grants.end(agent_id(99)))
    again = restarted(world, born)
    assert born.id(5) not in grants
    assert born.id(5) not in again
    assert agent_id(99) not in again


def test_what_ended_with_its_batch_is_not_put_back(world: World) -> None:
    born = batch()
    world.store.commit(birth(world, born, LOGS))
    world.store.commit(world.grants.revoke(born.id(1)))  # the store tells more of this one
    asleep = [born.id(at) for at in range(COUNT) if at > 1]
    world.store.commit(world.grants.end_batch(lambda: asleep))
    assert world.grants.view(agent_id(0)).agents == 2
    grants = Grants(world.store, world.time.now_ms)
    grants.load([born], lambda batch: asleep)
    assert [born.id(at) in grants for at in (0, 1, 2, COUNT - 1)] == [True, True, False, False]


def test_a_batch_beyond_a_bound_or_that_the_store_refused_leaves_nothing(world: World) -> None:
    first, second = batch(1), batch(2)
    world.store.commit(birth(world, first, LOGS))
    before = world.grants.view(agent_id(0))
    with pytest.raises(Denied, match="max_agents"):
        birth(world, second, LOGS)
    with pytest.raises(Denied, match="300 more than"):
        world.grants.check_room(agent_id(0), 300)
    world.grants.check_room(agent_id(0), 99)
    small = batch(3, 50)
    with pytest.raises(Refused):
        world.store.commit(birth(world, small, LOGS), Change((("expect", "nothing", b"here", b"stands"),)))
    assert small.id(0) not in world.grants
    assert world.grants.view(agent_id(0)) == before
    ended = birth(world, small, LOGS)
    world.store.commit(world.grants.freeze(agent_id(0)))
    with pytest.raises(Refused):
        world.store.commit(ended)
    assert small.id(0) not in world.grants


def test_all_that_were_ever_born_are_counted_exactly(world: World) -> None:
    for seed in (1, 2):
        born = batch(seed)
        world.store.commit(birth(world, born, LOGS))
        world.store.commit(world.grants.end_batch(born.ids))
    assert world.grants.view(agent_id(0)).agents == 0
    with pytest.raises(Denied, match="agents_ever"):
        birth(world, batch(3), LOGS)
    world.store.commit(birth(world, batch(4, 99), LOGS))


def test_words_name_a_member_and_its_chain(world: World) -> None:
    born = batch()
    world.store.commit(birth(world, born, LOGS))
    grants = restarted(world, born)
    assert grants.label(born.id(9)) == "sre/watcher/s"
    assert grants.intent_of(born.id(9)) == grants.path(agent_id(0))[-1]
    view = grants.view(born.id(9))
    assert (view.parent, view.agents, view.max_agents) == (agent_id(0), 0, 2)
    assert len(grants.who_can("logs.read", "svc:payments/api", limit=10)) == 10
    with pytest.raises(Unknown):
        grants.label(b"x" * 32)


def test_a_batch_whose_grant_is_not_in_the_store_stops_the_start(world: World) -> None:
    with pytest.raises(Malformed):
        restarted(world, batch())
