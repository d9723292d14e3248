"""The swarm is sized by severity and capped by the intent, and no two agents look at the same thing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.demo.sre.detect import TELLING, Rule
from queenright.demo.sre.pieces import SMALL_TOTAL, STAFF, Piece, Service, pieces
from queenright.demo.sre.severity import Level

SHOP = Service("svc:shop/edge", ("svc:shop/w1", "svc:shop/w2"))


def plan(level: Level, rule: Rule = "errors", down: tuple[str, ...] = (), cap: int = 60) -> tuple[Piece, ...]:
    return pieces(level, rule, SHOP, down=down, onset_ms=100_000, now_ms=105_000, cap=cap)


@pytest.mark.parametrize("rule", TELLING)
def test_a_small_fault_gets_at_most_six_agents_in_all(rule: Rule) -> None:
    assert 2 <= len(plan("small", rule)) <= SMALL_TOTAL - STAFF


@pytest.mark.parametrize("down", [(), ("svc:shop/w2",), ("svc:shop/edge",)])
def test_a_severe_fault_gets_at_least_forty_agents(down: tuple[str, ...]) -> None:
    assert len(plan("severe", down=down)) + STAFF >= 40


@given(
    level=st.sampled_from(["small", "severe"]),
    rule=st.sampled_from(TELLING),
    down=st.sets(st.sampled_from([SHOP.edge, *SHOP.workers])).map(tuple),
    cap=st.integers(0, 200),
    workers=st.integers(1, 6),
    onset=st.integers(0, 10**13),
    late=st.integers(1, 60_000),
)
def test_no_two_pieces_are_alike_and_the_cap_is_never_passed(
    level: Level, rule: Rule, down: tuple[str, ...], cap: int, workers: int, onset: int, late: int
) -> None:
    shop = Service("svc:shop/edge", tuple(f"svc:shop/w{n + 1}" for n in range(workers)))
    found = pieces(level, rule, shop, down=down, onset_ms=onset, now_ms=onset + late, cap=cap)
    assert len(set(found)) == len(found)
    assert not found or len(found) + STAFF <= cap
    assert all(piece.from_ms < piece.to_ms for piece in found)
    assert not any(piece.source == "metrics" and piece.target in down for piece in found)
    assert {piece.target for piece in found} <= {shop.edge, *shop.workers}


def test_a_tight_cap_drops_the_oldest_logs_first() -> None:
    full, tight = plan("severe"), plan("severe", cap=30)
    assert tight == full[: 30 - STAFF]
    assert all(piece.from_ms >= 97_000 for piece in tight)


def test_windows_of_one_log_signal_do_not_overlap() -> None:
    windows = sorted(
        (piece.from_ms, piece.to_ms)
        for piece in plan("severe")
        if (piece.source, piece.signal, piece.target) == ("logs", "errors", SHOP.edge)
    )
    assert len(windows) == 3
    assert all(first[1] <= second[0] for first, second in pairwise(windows))
