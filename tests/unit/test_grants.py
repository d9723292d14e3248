"""Grants: attenuation, exact budgets over crashes and threads, revocation, denials in words."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from authority_world import HEAD, RULES, World, agent_id

from queenright.authority.grant_request import GrantRequest
from queenright.authority.rule import Rule
from queenright.core.host import Refused
from queenright.errors import Conflict, Denied, Unknown

RESTART = ("svc.restart", "svc:payments")
RESTARTS = Rule("allow", ("svc.restart",), "svc:payments")
LOGS = Rule("allow", ("logs.read",), "svc:payments/api")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def spawn(world: World, parent: int, child: int, *rules: Rule, **facts: object) -> None:
    request = GrantRequest(exercise=rules, delegate=rules, **facts)  # type: ignore[arg-type]
    world.store.commit(world.grants.derive(agent_id(parent), agent_id(child), f"sre/w{child}", request))


def act(world: World, agent: int, verb: str = "svc.restart", resource: str = "svc:payments") -> bool:
    """Start an act: True if it started."""
    _, reservation = world.grants.reserve(agent_id(agent), verb, resource)
    if reservation is None:
        return False
    world.store.commit(reservation.started())
    reservation.settle()
    return True


def test_budget_of_two_allows_exactly_two_over_the_whole_tree(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, RESTARTS, depth=1, agents=2)
    spawn(world, 1, 2, RESTARTS)
    assert [act(world, agent) for agent in (2, 0, 1, 2)] == [True, True, False, False]


def test_spent_budget_survives_a_restart_and_a_reserved_one_does_not_count(world: World) -> None:
    world.apply()
    assert act(world, 0)
    _, held = world.grants.reserve(agent_id(0), *RESTART)
    assert held is not None
    assert not act(world, 0)
    world.restart()
    assert act(world, 0)
    world.restart()
    assert not act(world, 0)


def test_crash_after_the_start_counts_as_spent(world: World) -> None:
    world.apply()
    for _ in range(2):
        _, held = world.grants.reserve(agent_id(0), *RESTART)
        assert held is not None
        world.store.commit(held.started())
        world.restart()
    assert not act(world, 0)


def test_denied_cancelled_and_refunded_tries_cost_nothing(world: World) -> None:
    world.apply()
    for _ in range(5):
        _, held = world.grants.reserve(agent_id(0), *RESTART)
        assert held is not None
        held.cancel()
    for _ in range(5):
        _, held = world.grants.reserve(agent_id(0), *RESTART)
        assert held is not None
        world.store.commit(held.started())
        world.store.commit(held.refund())
    world.restart()
    assert [act(world, 0) for _ in range(3)] == [True, True, False]


def test_store_refusing_the_start_gives_the_budget_back(world: World) -> None:
    world.apply()
    for _ in range(3):
        _, held = world.grants.reserve(agent_id(0), *RESTART)
        assert held is not None
        from queenright.store import Change

        with pytest.raises(Refused):
            world.store.commit(held.started(), Change((("expect", "nothing", b"here", b"stands"),)))
    assert [act(world, 0) for _ in range(3)] == [True, True, False]


def test_threads_racing_for_two_get_exactly_two(world: World) -> None:
    world.apply()
    for child in range(1, 5):
        spawn(world, 0, child, RESTARTS)
    done: list[bool] = []
    start = threading.Barrier(8)

    def run(agent: int) -> None:
        start.wait()
        for _ in range(10):
            done.append(act(world, agent))

    threads = [threading.Thread(target=run, args=(1 + number % 4,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.count(True) == 2
    assert len(done) == 80


def test_revoked_subtree_is_denied_at_once_and_after_a_restart(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, RESTARTS, LOGS, depth=1, agents=2)
    spawn(world, 1, 2, LOGS)
    change = world.grants.revoke(agent_id(1))
    assert (
        world.grants.check(agent_id(2), "logs.read", "svc:payments/api").outcome == "deny"
    )  # before it is durable
    world.store.commit(change)
    for _ in range(2):
        denied = world.grants.check(agent_id(2), "logs.read", "svc:payments/api")
        assert [(item.name, item.level) for item in denied.dimensions] == [("revoked", "agent sre/w1")]
        assert world.grants.check(agent_id(0), "logs.read", "svc:payments/api").outcome == "allow"
        world.restart()


def test_no_start_is_recorded_after_the_stop_that_should_have_prevented_it(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, RESTARTS)
    _, held = world.grants.reserve(agent_id(1), *RESTART)
    assert held is not None
    world.store.commit(world.grants.revoke(agent_id(0)))
    with pytest.raises(Refused):
        world.store.commit(held.started())


def test_no_birth_is_recorded_under_a_stopped_chain(world: World) -> None:
    world.apply()
    born = world.grants.derive(agent_id(0), agent_id(1), "sre/w1", GrantRequest(exercise=(LOGS,)))
    world.store.commit(world.grants.freeze(agent_id(0)))
    with pytest.raises(Refused):
        world.store.commit(born)
    assert agent_id(1) not in world.grants


def test_freeze_lifts_only_once_the_lifting_is_durable(world: World) -> None:
    standing = world.apply()
    world.store.commit(world.grants.freeze(standing.intent.id))
    thaw = world.grants.unfreeze(standing.intent.id)
    assert not act(world, 0)
    world.store.commit(thaw)
    assert act(world, 0)
    world.restart()
    assert act(world, 0)


def test_child_beyond_its_parent_is_denied_with_every_reason(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, LOGS, depth=1, agents=1)
    wide = Rule("allow", ("db.write", "iam.grant"), "pg:payments/main")
    with pytest.raises(Denied) as denied:
        spawn(world, 1, 2, wide, LOGS, depth=5, agents=7, not_after=world.clock.wall_ms() + 10**9)
    assert [item.name for item in denied.value.dimensions] == [
        "scope",
        "scope",
        "time",
        "depth",
        "max_agents",
    ]
    assert agent_id(2) not in world.grants


def test_child_may_not_do_alone_what_its_parent_must_ask_for(world: World) -> None:
    world.apply()
    alone = Rule("allow", ("db.write",), "pg:payments/main")
    with pytest.raises(Denied, match="must_ask"):
        spawn(world, 0, 1, alone)
    spawn(world, 0, 1, replace(alone, mode="ask"))
    assert world.grants.check(agent_id(1), "db.write", "pg:payments/main").outcome == "ask"


def test_promises_to_children_never_exceed_the_parent(world: World) -> None:
    world.apply(HEAD + RULES)
    spawn(world, 0, 1, replace(RESTARTS, max=2), depth=1, agents=2)
    spawn(world, 1, 2, replace(RESTARTS, max=1))
    with pytest.raises(Denied, match=r"2 uses of .* asked for, 1 left"):
        spawn(world, 1, 3, replace(RESTARTS, max=2))
    spawn(world, 1, 3, replace(RESTARTS, max=1))
    assert not act(world, 1)  # all of it is promised
    assert [act(world, agent) for agent in (2, 3, 2, 3)] == [True, True, False, False]


def test_an_ended_childs_promise_comes_back(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, replace(RESTARTS, max=2), depth=1, agents=2)
    spawn(world, 1, 2, replace(RESTARTS, max=2))
    assert act(world, 2)
    assert not act(world, 1)
    world.store.commit(world.grants.end(agent_id(2)))
    assert act(world, 1)
    assert not act(world, 1)


def test_a_rule_in_both_lists_has_one_budget(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, replace(RESTARTS, max=1), depth=1, agents=1)
    spawn(world, 1, 2, RESTARTS)
    assert act(world, 2)
    assert not act(world, 1)


def test_live_and_lifetime_bounds_hold_under_concurrent_spawns(world: World) -> None:
    world.apply(HEAD.replace("max_agents = 5", "max_agents = 5\nagents_ever = 9") + RULES)
    start = threading.Barrier(8)
    born: list[int] = []

    def run(number: int) -> None:
        start.wait()
        for child in range(number * 10 + 1, number * 10 + 5):
            try:
                spawn(world, 0, child, LOGS)
            except (Denied, Refused):
                continue
            born.append(child)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(born) == 4  # and the first agent
    world.restart()
    for child in born:
        world.store.commit(world.grants.end(agent_id(child)))
    for child in range(100, 104):
        spawn(world, 0, child, LOGS)
        world.store.commit(world.grants.end(agent_id(child)))
    with pytest.raises(Denied, match="agents_ever"):
        spawn(world, 0, 104, LOGS)


def test_a_birth_the_store_refused_is_not_counted(world: World) -> None:
    world.apply()
    from queenright.store import Change

    for child in range(1, 20):
        born = world.grants.derive(agent_id(0), agent_id(child), "x", GrantRequest())
        with pytest.raises(Refused):
            world.store.commit(born, Change((("expect", "nothing", b"here", b"stands"),)))
    view = world.grants.view(agent_id(0))
    assert (view.agents, view.ever) == (0, 0)


def test_min_gap_holds_over_a_restart(world: World) -> None:
    world.apply(HEAD + RULES.replace("max = 2", 'min_gap = "5m"'))
    assert act(world, 0)
    world.clock.advance(299_999)
    world.restart()
    assert not act(world, 0)
    world.clock.advance(1)
    assert act(world, 0)


def test_rate_binds_each_agent_and_all_together(world: World) -> None:
    world.apply(
        HEAD
        + RULES.replace(
            'on = "svc:payments/**"', 'on = "svc:payments/**"\nrate = "2/s per agent, 3/s in all"'
        )
    )
    spawn(world, 0, 1, LOGS)
    read = ("logs.read", "svc:payments/api")
    assert [act(world, agent, *read) for agent in (0, 0, 0, 1, 1)] == [True, True, False, True, False]
    why = world.grants.check(agent_id(1), *read)
    assert [(item.name, item.level) for item in why.dimensions] == [("rate", "intent level")]
    world.clock.advance(1_000)
    assert act(world, 1, *read)


def test_reads_that_no_rule_counts_need_no_commit(world: World) -> None:
    world.apply()
    _, read = world.grants.reserve(agent_id(0), "logs.read", "svc:payments", effect=False)
    _, restart = world.grants.reserve(agent_id(0), *RESTART, effect=False)
    assert read is not None
    assert restart is not None
    assert (read.durable, restart.durable) == (False, True)


def test_act_without_an_undo_is_an_ask_unless_its_very_verb_is_named(world: World) -> None:
    world.apply(HEAD + '[[allow]]\ndo = ["db.*"]\non = "pg:payments/**"\n')
    kill = ("db.session.kill", "pg:payments/main")
    asked = world.grants.check(agent_id(0), *kill, irreversible=True)
    assert (asked.outcome, asked.clauses) == ("ask", ())
    assert world.grants.check(agent_id(0), *kill).outcome == "allow"
    named = '[[allow]]\ndo = ["db.*", "db.session.kill"]\non = "pg:payments/**"\n'
    world.amend(world.intents.get(next(iter(world.intents)).intent.id), HEAD + named)
    assert world.grants.check(agent_id(0), *kill, irreversible=True).outcome == "allow"


def test_child_cannot_name_a_verb_that_the_intent_left_in_a_family(world: World) -> None:
    world.apply(HEAD + '[[allow]]\ndo = ["db.*"]\non = "pg:payments/**"\n')
    spawn(world, 0, 1, Rule("allow", ("db.session.kill",), "pg:payments/main"))
    kill = ("db.session.kill", "pg:payments/main")
    assert world.grants.check(agent_id(1), *kill, irreversible=True).outcome == "ask"


def test_first_agent_hands_down_what_it_may_not_use(world: World) -> None:
    world.apply(HEAD + RULES + '[delegate]\nonly = ["db.write"]\n')
    write = ("db.write", "pg:payments/main")
    denied = world.grants.check(agent_id(0), *write)
    assert [item.detail for item in denied.dimensions] == ["may be handed down or used, but not here"]
    spawn(world, 0, 1, Rule("ask", ("db.write",), "pg:payments/main"))
    assert world.grants.check(agent_id(1), *write).outcome == "ask"


def test_never_beats_rules_and_approvals_at_every_level(world: World) -> None:
    world.apply(HEAD + RULES + '[[never]]\ndo = ["db.session.*"]\non = "pg:payments/main"\n')
    kill = world.grants.check(agent_id(0), "db.session.kill", "pg:payments/main", approved=True)
    assert kill.outcome == "deny"
    assert kill.dimensions[0].name == "never"
    assert (
        world.grants.check(agent_id(0), "db.session.kill", "pg:payments/other", approved=True).outcome
        == "allow"
    )


def test_amendment_keeps_what_was_spent_and_binds_everyone_at_once(world: World) -> None:
    standing = world.apply()
    spawn(world, 0, 1, RESTARTS)
    assert act(world, 1)
    assert act(world, 1)
    after = world.amend(standing, HEAD + RULES.replace("max = 2", "max = 3"))
    for _ in range(2):
        assert [rule["used"] for rule in world.grants.view(after.intent.id).rules][1] == 2
        world.restart()
    assert act(world, 1)
    assert not act(world, 1)
    narrower = HEAD + RULES.replace('do = ["svc.restart"]', 'do = ["svc.restart", "svc.stop"]').replace(
        "max = 2", "max = 3"
    )
    world.amend(after, narrower)
    world.restart()
    assert not act(world, 1)  # a reworded rule is not a refilled one
    world.amend(world.intents.get(after.intent.id), HEAD + RULES.replace("svc.restart", "svc.other"))
    assert world.grants.check(agent_id(1), *RESTART).outcome == "deny"


def test_expired_intent_denies_at_every_level_of_the_chain(world: World) -> None:
    world.apply()
    world.clock.advance(7_200_000 - 1)
    assert act(world, 0)
    world.clock.advance(1)
    assert not act(world, 0)


def test_denial_says_every_dimension_its_level_and_the_way_out(world: World) -> None:
    world.apply()
    spawn(world, 0, 3, RESTARTS)
    assert act(world, 3)
    assert act(world, 0)
    line = world.grants.can(agent_id(3), *RESTART).explain()
    intent = world.grants.path(agent_id(3))[-1].hex()[:12]
    assert line == (
        f'DENY svc.restart svc:payments by agent sre/w3 (← sre/watcher ← intent {intent} "incident 4711: payments p99"): '
        "budget 2/2 used at intent level (sre/w3 08:00, sre/watcher 08:00) · scope ok · time ok (2 h left) · "
        "would be allowed by: raise max to 3 at intent level"
    )
    error = world.grants.can(agent_id(3), *RESTART).to_error()
    assert error.amendment == "raise max to 3 at intent level"
    assert "sre/watcher" not in f"{error.message}{error.hint}{error.dimensions}"


def test_names_that_are_none_are_refused(world: World) -> None:
    world.apply()
    from queenright.errors import Malformed

    hostile = [
        "",
        "svc",
        "svc:*",
        "svc:payments/**",
        "svc:a/../b",
        "svc:a//b",
        "SVC:a",
        "svc:a b",
        "svc:é",
        "svc:" + "a" * 300,
    ]
    for resource in hostile:
        with pytest.raises(Malformed):
            world.grants.check(agent_id(0), "svc.restart", resource)
    for verb in ("", "svc", "svc.*", "*", "Svc.restart", "svc..restart", "svc.restart\n"):
        with pytest.raises(Malformed):
            world.grants.check(agent_id(0), verb, "svc:payments")
    with pytest.raises(Unknown):
        world.grants.check(agent_id(77), *RESTART)


def test_an_intent_is_founded_once(world: World) -> None:
    standing = world.apply()
    with pytest.raises(Conflict):
        world.grants.found(standing.intent)


def test_grants_of_ended_agents_are_forgotten_parents_after_children(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, LOGS, depth=2, agents=3)
    spawn(world, 1, 2, LOGS, depth=1, agents=1)
    spawn(world, 2, 3, LOGS)
    world.store.commit(world.grants.end(agent_id(1)))
    world.store.commit(world.grants.end(agent_id(2)))
    assert agent_id(1) in world.grants
    world.restart()
    world.store.commit(world.grants.end(agent_id(3)))
    assert all(agent_id(number) not in world.grants for number in (1, 2, 3))
    assert [key for key, _ in world.store.scan("grant")] == sorted(world.grants.path(agent_id(0)))


def test_who_can_lists_those_who_may_or_may_ask(world: World) -> None:
    world.apply()
    spawn(world, 0, 1, LOGS)
    spawn(world, 0, 2, RESTARTS)
    assert {found.grant for found in world.grants.who_can(*RESTART)} == {agent_id(0), agent_id(2)}
