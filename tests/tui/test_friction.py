"""How hard giving is, without a screen."""

from __future__ import annotations

import pytest

from queenright.clock import ManualClock
from queenright_tui.friction import ARMED_MS, SETTLE_MS, Arming, Confirm, Settled, demand


@pytest.mark.parametrize(
    ("risk", "same_user", "confirm", "phrase"),
    [
        ("LOW", False, Confirm.NOTHING, ""),
        ("LOW", True, Confirm.NOTHING, ""),
        ("MED", False, Confirm.ENTER, ""),
        ("MED", True, Confirm.ENTER, ""),
        ("HIGH", False, Confirm.TYPE, "web"),
        ("HIGH", True, Confirm.TYPE, "web same-user"),
        ("CRITICAL", False, Confirm.TYPE, "svc:shop/web"),
        ("CRITICAL", True, Confirm.TYPE, "svc:shop/web same-user"),
        ("low", False, Confirm.TYPE, "svc:shop/web"),
        ("", False, Confirm.TYPE, "svc:shop/web"),
    ],
)
def test_friction_rises_with_risk_and_an_unknown_risk_is_the_highest(
    risk: str, same_user: bool, confirm: Confirm, phrase: str
) -> None:
    found = demand(risk, "svc:shop/web", same_user=same_user)
    assert (found.confirm, found.phrase) == (confirm, phrase)


@pytest.mark.parametrize("resource", ["a", "/", ":", "svc:", "svc:shop/", "x/y/z/"])
def test_there_is_always_a_word_to_type(resource: str) -> None:
    assert demand("HIGH", resource, same_user=False).phrase
    assert demand("CRITICAL", resource, same_user=False).phrase == resource


def test_a_request_is_settled_only_after_400_ms_of_the_same_digest() -> None:
    clock = ManualClock()
    settled = Settled(clock)
    assert not settled.ready(b"x")
    settled.painted(b"x", same_place=True)
    clock.advance(SETTLE_MS - 1)
    assert not settled.ready(b"x")
    clock.advance(1)
    assert settled.ready(b"x")
    assert not settled.ready(b"y")
    settled.painted(b"y", same_place=True)
    assert settled.changed
    assert not settled.ready(b"y")
    clock.advance(SETTLE_MS)
    settled.painted(b"y", same_place=True)  # painting it again starts nothing anew
    assert settled.ready(b"y")
    settled.gone()
    assert not settled.ready(b"y")


def test_a_step_of_the_wall_clock_arms_and_settles_nothing() -> None:
    clock = ManualClock()
    settled, arming = Settled(clock), Arming(clock)
    settled.painted(b"x", same_place=True)
    arming.arm()
    clock.step_wall(10 * ARMED_MS)
    assert not settled.ready(b"x")
    assert arming.left_ms == ARMED_MS


def test_armed_is_15_minutes_and_says_how_long() -> None:
    clock = ManualClock()
    arming = Arming(clock)
    assert arming.words == "OBSERVE"
    arming.arm()
    clock.advance(28_000)
    assert arming.words == "ARMED 14:32"
    clock.advance(ARMED_MS)
    assert not arming.armed
    assert arming.words == "OBSERVE"


def test_read_only_cannot_be_armed() -> None:
    arming = Arming(ManualClock(), read_only=True)
    arming.arm()
    assert not arming.armed
    assert arming.words == "READ ONLY"
