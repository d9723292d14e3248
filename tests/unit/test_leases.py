"""Leases: bounded, renewed by their holder only, ended at once, never longer by a clock or a restart, cleaned for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from authority_world import HEAD, RULES, World, agent_id, bytes_source

from queenright.authority.grant_request import GrantRequest
from queenright.authority.lease import Lease
from queenright.authority.leases import PER_AGENT, STUCK_AFTER, TTL_MS
from queenright.errors import Conflict, Denied, Malformed, NotEntitled, QueenrightError

MINUTE = 60_000


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.apply(HEAD.replace("max_agents = 5", "max_agents = 500") + RULES)
    world.rand = unjittered()
    return world


def unjittered() -> Callable[[int], bytes]:
    """Different ids, and no jitter: the one draw of two bytes is nought."""
    draw = bytes_source(3)
    return lambda size: bytes(size) if size == 2 else draw(size)


def issue(world: World, agent: int = 0, **facts: object) -> Lease:
    given: dict[str, object] = {"provider": "http", "ttl_ms": TTL_MS} | facts
    lease, change = world.leases.issue(agent_id(agent), "svc:payments", "vault:admin", **given)  # type: ignore[arg-type]
    world.store.commit(change)
    return lease


def spawn(world: World, parent: int, child: int) -> None:
    change = world.grants.derive(
        agent_id(parent), agent_id(child), f"w{child}", GrantRequest(depth=3 - child, agents=20 - child)
    )
    world.store.commit(change)


def usable(world: World, lease: Lease) -> bool:
    try:
        world.leases.use(lease.id, lease.agent)
    except QueenrightError:
        return False
    return True


def test_lease_ends_exactly_at_its_time(world: World) -> None:
    lease = issue(world)
    assert lease.expires_ms == world.clock.wall_ms() + TTL_MS
    world.clock.advance(TTL_MS - 1)
    assert usable(world, lease)
    world.clock.advance(1)
    assert not usable(world, lease)
    assert [one.id for one in world.leases.due()] == [lease.id]
    world.store.commit(world.leases.expire())
    assert world.leases.get(lease.id).state == "ended"


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("in its last second", None),
        ("at its end", Conflict),
        ("after its end was recorded", Conflict),
        ("by another agent", NotEntitled),
        ("at its maximum", Conflict),
        ("under a revoked chain", Denied),
        ("after a revocation of the lease", Conflict),
    ],
)
def test_renewal_table(world: World, case: str, error: type[Exception] | None) -> None:
    """L7."""
    maximum = TTL_MS if case == "at its maximum" else 24 * 60 * MINUTE
    lease = issue(world, class_max_ms=maximum)
    holder = agent_id(1) if case == "by another agent" else agent_id(0)
    match case:
        case "in its last second":
            world.clock.advance(TTL_MS - 1)
        case "at its end":
            world.clock.advance(TTL_MS)
        case "after its end was recorded":
            world.clock.advance(TTL_MS)
            world.store.commit(world.leases.expire())
        case "under a revoked chain":
            world.store.commit(world.grants.revoke(agent_id(0)))
        case "after a revocation of the lease":
            world.store.commit(world.leases.end(lease.id, "revoked"))
        case _:
            world.clock.advance(MINUTE)
    if error is None:
        world.store.commit(world.leases.renew(lease.id, holder))
        assert world.leases.get(lease.id).expires_ms == world.clock.wall_ms() + TTL_MS
        return
    with pytest.raises(error):
        world.leases.renew(lease.id, holder)


def test_no_renewal_or_gift_goes_past_intent_parent_or_class(world: World) -> None:
    parent = issue(world, class_max_ms=20 * MINUTE)
    child = issue(world, parent=parent.id)
    assert child.max_ms == parent.max_ms
    world.clock.advance(10 * MINUTE)
    world.store.commit(world.leases.renew(child.id, agent_id(0)))
    assert world.leases.get(child.id).expires_ms == parent.max_ms
    with pytest.raises(Conflict, match="cannot last longer"):
        world.leases.extend(child.id, MINUTE)
    late = issue(world, ttl_ms=23 * 60 * MINUTE)
    assert late.expires_ms == late.max_ms == world.grants.view(agent_id(0)).not_after


def test_an_operator_extends_up_to_the_maximum(world: World) -> None:
    lease = issue(world)
    world.store.commit(world.leases.extend(lease.id, 5 * MINUTE))
    assert world.leases.get(lease.id).expires_ms == lease.expires_ms + 5 * MINUTE
    for wrong in (0, -1, 10**12):
        with pytest.raises(Malformed):
            world.leases.extend(lease.id, wrong)


@pytest.mark.parametrize("ttl", [0, -1, 10**12])
def test_no_lease_lives_for_ever_or_not_at_all(world: World, ttl: int) -> None:
    with pytest.raises(Malformed):
        issue(world, ttl_ms=ttl)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("step", [-3_600_000, -1, 0, 3_600_000])
@pytest.mark.parametrize("before", [0, 5 * MINUTE, TTL_MS - 1])
def test_no_clock_step_and_no_restart_lengthens_a_lease(
    world: World, step: int, restart: bool, before: int
) -> None:
    """A9. Real time is boot time; the wall clock does as it likes."""
    lease = issue(world)
    world.clock.advance(before)
    world.time.now_ms()
    world.store.commit(world.time.save())
    world.clock.step_wall(step)
    if restart:
        world.restart()
    world.clock.advance(TTL_MS - before)
    assert not usable(world, lease)
    if step <= 0:
        world.clock.advance(-1)
        assert not usable(world, lease)  # nor does asking twice bring it back


@pytest.mark.parametrize("step", [-3_600_000, 3_600_000])
def test_lease_issued_after_a_step_lives_its_time_and_no_longer(world: World, step: int) -> None:
    world.time.now_ms()
    world.clock.step_wall(step)
    world.clock.step_wall(-step)
    lease = issue(world)
    world.clock.advance(TTL_MS - 1)
    assert usable(world, lease)
    world.clock.advance(1)
    assert not usable(world, lease)


def test_clock_stepped_forward_ends_leases_and_is_noticed(world: World) -> None:
    lease = issue(world)
    world.clock.step_wall(3_600_000)
    assert not usable(world, lease)
    world.clock.step_wall(-3_600_000)
    assert not usable(world, lease)
    assert world.time.ahead_ms() == 3_600_000


def test_restart_keeps_leases_and_ends_those_that_ran_out_or_were_being_issued(world: World) -> None:
    kept, short, issuing = issue(world), issue(world, ttl_ms=MINUTE), issue(world, external=True)
    assert issuing.state == "issuing"
    assert not usable(world, issuing)
    world.clock.advance(2 * MINUTE)
    world.restart()
    assert usable(world, kept)
    assert [world.leases.get(one.id).state for one in (short, issuing)] == ["ended", "ended"]
    assert world.leases.get(issuing.id).provider_name == f"qr_{issuing.id.hex()}"
    world.restart()
    assert {one.id for one in world.leases.to_clean(9)} == {short.id, issuing.id}


def test_nothing_passes_before_the_leases_are_loaded(world: World) -> None:
    from queenright.authority.leases import Leases

    lease = issue(world)
    fresh = Leases(world.store, world.grants, world.time.now_ms, world.rand)
    fresh._all = dict(world.leases._all)
    with pytest.raises(Conflict, match="not loaded"):
        fresh.use(lease.id, lease.agent)


def test_only_the_holder_uses_a_lease(world: World) -> None:
    lease = issue(world)
    with pytest.raises(NotEntitled):
        world.leases.use(lease.id, agent_id(1))
    assert world.leases.uses(lease.id) == 0
    world.leases.use(lease.id, agent_id(0))
    assert world.leases.uses(lease.id) == 1


def test_ending_holds_before_it_is_durable_and_is_idempotent(world: World) -> None:
    lease = issue(world)
    change = world.leases.end(lease.id, "revoked by ana")
    assert not usable(world, lease)
    assert world.leases.end(lease.id, "again").records == ()
    world.store.commit(change)
    world.restart()
    ended = world.leases.get(lease.id)
    assert (ended.state, ended.reason) == ("ended", "revoked by ana")


def test_ends_reach_one_an_agent_a_subtree_an_intent_and_all(world: World) -> None:
    for child in (1, 2, 3):
        spawn(world, child - 1, child)

    def fresh() -> list[Lease]:
        return [issue(world, agent) for agent in range(4)]

    leases = fresh()
    world.store.commit(world.leases.end_agents([agent_id(2)], "x"))
    assert [usable(world, one) for one in leases] == [True, True, False, True]
    world.store.commit(world.leases.end_agents(world.grants.subtree(agent_id(1)), "x"))
    assert [usable(world, one) for one in leases] == [True, False, False, False]
    world.store.commit(world.leases.end_intent(leases[0].intent, "x"))
    assert len(world.leases) == 0
    leases = fresh()
    world.store.commit(world.leases.end_everything("down"))
    assert [usable(world, one) for one in leases] == [False] * 4


def test_lease_ends_with_its_parent(world: World) -> None:
    parent = issue(world)
    child = issue(world, parent=parent.id)
    world.store.commit(world.leases.end(parent.id, "x"))
    assert not usable(world, child)


def test_a_revoked_grant_stops_its_leases_without_touching_them(world: World) -> None:
    lease = issue(world)
    world.grants.revoke(world.grants.path(agent_id(0))[-1])
    assert not usable(world, lease)


def test_quota_is_a_denial_with_every_full_level(world: World) -> None:
    for _ in range(PER_AGENT):
        issue(world)
    with pytest.raises(Denied) as denied:
        issue(world)
    assert (denied.value.reason, denied.value.dimensions[0].level) == ("lease_quota", "agent")


def test_times_to_live_are_jittered_only_downward(world: World) -> None:
    ends = set()
    for number in range(8):
        world.rand = lambda size, number=number: bytes([number * 31]) * size
        ends.add(issue(world).expires_ms - world.clock.wall_ms())
    assert len(ends) > 4
    assert all(TTL_MS * 90 // 100 <= end <= TTL_MS for end in ends)


def test_clean_up_is_retried_for_ever_and_shown_as_stuck(world: World) -> None:
    lease = issue(world)
    world.store.commit(world.leases.end(lease.id, "x"))
    for attempt in range(1, STUCK_AFTER + 3):
        assert [one.id for one in world.leases.to_clean(9)] == [lease.id]
        world.store.commit(world.leases.cleaning(lease.id))
        assert world.leases.to_clean(9) == ()
        world.store.commit(world.leases.clean_failed(lease.id))
        assert world.leases.get(lease.id).state == ("stuck" if attempt >= STUCK_AFTER else "ended")
        assert world.leases.to_clean(9) == ()  # not before its time
        world.clock.advance(300_001)
        world.restart()
    world.store.commit(world.leases.cleaning(lease.id))
    world.store.commit(world.leases.cleaned(lease.id))
    assert world.leases.get(lease.id).state == "clean"
    with pytest.raises(Conflict):
        world.leases.forget(lease.id)


def test_only_a_stuck_lease_is_forgotten_and_stays_on_record(world: World) -> None:
    lease = issue(world)
    with pytest.raises(Conflict):
        world.leases.forget(lease.id)
    world.store.commit(world.leases.end(lease.id, "x"))
    for _ in range(STUCK_AFTER):
        world.store.commit(world.leases.cleaning(lease.id))
        world.store.commit(world.leases.clean_failed(lease.id))
    world.store.commit(world.leases.forget(lease.id))
    assert world.leases.get(lease.id).reason == "x; forgotten by order"


def test_a_dead_provider_starves_no_other(world: World) -> None:
    for child in range(1, 4):
        spawn(world, 0, child)
        for _ in range(5):
            world.store.commit(world.leases.end(issue(world, child, provider="dead").id, "x"))
    alive = issue(world, 1, provider="alive")
    world.store.commit(world.leases.end(alive.id, "x"))
    assert alive.id in {one.id for one in world.leases.to_clean(2)}
