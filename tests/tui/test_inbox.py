"""Deciding: what a key must not do, what each risk takes, and what is signed."""

from __future__ import annotations

import pytest
from desk import Desk, desk
from fake_feed import NOW, ask_detail, group

from queenright.control.protocol import AskDetail
from queenright.core import canonical, digest, leaf_hash, merkle_root
from queenright.errors import StaleVerdict
from queenright_tui.feed import Changed, LinkDown, LinkUp
from queenright_tui.friction import ARMED_MS


def approvals(at: Desk) -> list:
    return at.called("approve")


async def test_low_risk_takes_one_key_and_signs_the_digest_of_the_bytes_on_the_card() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        await at.press("a")
        await at.see("you approved")
        [(_, ask, signed, kind, args, uses, same_user)] = approvals(at)
        assert ask == at.feed.flag["row"]["id"]
        assert signed == digest("ask", at.feed.flag["bytes"])
        assert (kind, args, uses, same_user) == ("once", None, 1, False)
        assert at.signer.signed == [("approve@queenright.v1", signed)]


async def test_medium_risk_takes_enter_and_any_other_key_leaves_it() -> None:
    async with desk() as at:
        detail = ask_detail(
            "med", risk="MED", undo="start it again", verb="svc.restart", resource="svc:shop/web"
        )
        at.feed.asks[detail["row"]["id"]] = detail
        at.feed.emit(Changed("asks", detail["row"]))
        await at.until(lambda: len(at.app.model.asks) == 4)
        await at.open_ask(detail)
        await at.arm()
        await at.press("a", "a")
        assert not approvals(at)
        assert "left as it was" in at.text()
        await at.press("enter")
        assert not approvals(at)
        await at.press("a", "enter")
        await at.see("you approved")
        assert len(approvals(at)) == 1


@pytest.mark.parametrize(
    ("which", "wrong", "right"), [("restart", "worker", "worker-2"), ("kill", "main", "db:shop/main")]
)
async def test_high_takes_the_last_word_and_critical_the_whole_name(
    which: str, wrong: str, right: str
) -> None:
    async with desk() as at:
        detail = getattr(at.feed, which)
        await at.open_ask(detail)
        await at.arm()
        await at.press("a")
        await at.type(wrong)
        await at.press("enter")
        assert not approvals(at)
        assert "nothing was signed" in at.text()
        await at.press("a")
        await at.type(right)
        await at.press("enter")
        await at.see("you approved")
        assert len(approvals(at)) == 1


async def test_a_key_that_nothing_keeps_from_the_supervisor_takes_one_more_word() -> None:
    async with desk() as at:
        detail = ask_detail("same", context={"accept_same_user": True})
        at.feed.asks = {detail["row"]["id"]: detail}
        at.feed.emit(Changed("asks", detail["row"]))
        await at.until(lambda: len(at.app.model.asks) == 4)
        await at.open_ask(detail)
        await at.arm()
        await at.press("a")
        await at.type("db:shop/main")
        await at.press("enter")
        assert not approvals(at)
        await at.press("a")
        await at.type("db:shop/main same-user")
        await at.press("enter")
        await at.see("you approved")
        assert approvals(at)[0][-1] is True


async def test_no_key_decides_before_the_request_was_on_screen_for_400_ms() -> None:
    async with desk() as at:
        await at.arm()
        await at.press("2")
        at.inbox.table.move_to(at.feed.flag["row"]["id"].encode())
        await at.until(lambda: at.inbox.open_ask is not None and at.inbox.wanted == at.feed.flag["row"]["id"])
        await at.press("enter", "pagedown", "pagedown", "a", "d")
        assert not approvals(at)
        assert "0.4 s" in at.text()
        await at.wait(399)
        await at.press("a")
        assert not approvals(at)
        await at.wait(1)
        await at.press("a")
        await at.see("you approved")


async def test_a_changed_group_starts_again_and_what_was_typed_is_dropped() -> None:
    async with desk() as at:
        detail = group(3, risk="HIGH", undo="x", verb="svc.restart", resource="svc:shop/worker-2")
        ask = detail["row"]["id"]
        at.feed.asks[ask] = detail
        at.feed.emit(Changed("asks", detail["row"]))
        await at.until(lambda: len(at.app.model.asks) == 4)
        await at.open_ask(detail)
        await at.arm()
        await at.press("a")
        await at.type("worker-2")
        # Somebody else answered one of the three: the verdict would no longer be over what is drawn.
        fewer = detail | {"members": detail["members"][:2], "reasons": detail["reasons"][:2]}
        at.feed.asks[ask] = fewer
        at.feed.emit(Changed("asks", detail["row"] | {"members": 2}))
        await at.see("scope changed, look again")
        await at.press("enter", "a")
        assert not approvals(at)
        await at.wait(500)
        await at.press("pagedown", "pagedown", "a")
        await at.type("worker-2")
        await at.press("enter")
        await at.see("you approved")
        hashes = [digest("ask", data) for data in fewer["members"]]
        assert approvals(at)[0][2] == merkle_root([leaf_hash(found) for found in hashes])
        assert approvals(at)[0][5] == 2


async def test_an_equal_request_that_comes_later_is_named_and_not_covered() -> None:
    async with desk() as at:
        two, three = (group(count, risk="LOW", undo="x") for count in (2, 3))
        ask = two["row"]["id"]
        at.feed.asks[ask] = two
        at.feed.emit(Changed("asks", two["row"]))
        await at.until(lambda: len(at.app.model.asks) == 4)
        await at.open_ask(two)
        await at.arm()
        at.feed.asks[ask] = three
        at.feed.emit(Changed("asks", three["row"]))
        await at.see("1 more since")
        await at.press("pagedown", "pagedown", "a")
        await at.see("you approved")
        assert approvals(at)[0][5] == 2
        hashes = [digest("ask", data) for data in two["members"]]
        assert approvals(at)[0][2] == merkle_root([leaf_hash(found) for found in hashes])


async def test_decision_keys_do_nothing_outside_the_card() -> None:
    async with desk() as at:
        await at.arm()
        await at.press("2")
        await at.until(lambda: at.inbox.open_ask is not None)
        await at.wait(1000)
        await at.press("a", "d", "r", "enter")
        assert not approvals(at)
        assert not at.called("deny")
        assert not at.called("revoke")
        for place in ("1", "3", "4", "!"):
            await at.press(place, "d")
        assert not approvals(at)
        assert not at.called("deny")


async def test_a_new_request_takes_neither_the_focus_nor_the_card() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        newer = ask_detail("newer", risk="CRITICAL", row={"raised_ms": NOW - 900_000})
        at.feed.asks[newer["row"]["id"]] = newer
        at.feed.emit(Changed("asks", newer["row"]))
        await at.see("4 need you")
        assert at.inbox.card.has_focus
        assert at.inbox.wanted == at.feed.flag["row"]["id"]
        await at.press("a")
        await at.see("you approved")
        assert [call[1] for call in approvals(at)] == [at.feed.flag["row"]["id"]]


async def test_observe_gives_nothing_and_still_takes_away() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.press("a")
        assert "OBSERVE" in at.text()
        assert not approvals(at)
        await at.press("d")
        await at.type("not now")
        await at.press("enter")
        await at.see("you denied")
        assert at.called("deny") == [("deny", at.feed.flag["row"]["id"], "not now")]


async def test_revoke_takes_enter_and_no_key() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.press("r")
        assert not at.called("revoke")
        await at.press("enter")
        await at.see("enforced")
        assert at.called("revoke") == [("revoke", at.feed.flag["row"]["agent"])]


async def test_read_only_never_arms() -> None:
    async with desk(read_only=True) as at:
        await at.open_ask(at.feed.flag)
        await at.press("A", "a")
        assert at.feed.armed_with is None
        assert not approvals(at)
        assert "READ ONLY" in at.text()


async def test_arming_ends_after_15_minutes_and_wipes_the_key() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        await at.wait(ARMED_MS - 1)
        assert at.app.arming.armed
        await at.wait(1)
        assert not at.app.arming.armed
        assert at.signer.closed
        assert at.feed.armed_with is None
        await at.press("a")
        assert not approvals(at)


async def test_a_lost_connection_disarms_and_is_said() -> None:
    async with desk() as at:
        await at.arm()
        at.feed.emit(LinkDown("the connection is lost; trying again"))
        await at.see("NOT CONNECTED")
        assert not at.app.arming.armed
        assert at.signer.closed
        assert "stop: ready" not in at.text()
        at.feed.emit(LinkUp(at.feed.whoami(), at.feed.status()))
        await at.see("stop: ready")


async def test_the_passphrase_is_asked_through_the_callback_and_never_drawn() -> None:
    def factory(ask):
        assert ask("the test's key") == b"open sesame"
        return at.signer

    async with desk(signer_factory=factory) as at:
        await at.press("A")
        await at.see("passphrase for the test's key")
        await at.type("open sesame")
        assert "sesame" not in at.text()
        assert "sesame" not in at.app.export_screenshot()
        await at.press("enter")
        await at.until(lambda: at.app.arming.armed)


async def test_giving_up_the_passphrase_leaves_observe() -> None:
    def factory(ask):
        ask("the test's key")
        return at.signer

    async with desk(signer_factory=factory) as at:
        await at.press("A")
        await at.see("passphrase for")
        await at.press("escape")
        await at.see("still in OBSERVE")
        assert not at.app.arming.armed


async def test_the_second_operator_is_told_who_was_first() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        ask = at.feed.flag["row"]["id"]
        real = at.feed.approve

        async def too_late(approval):
            at.feed.decide_elsewhere(ask, "bo", "once")
            at.clock.advance(2000)
            await at.settle_feed()
            raise StaleVerdict("the ask was decided")

        async def settle_feed() -> None:
            await at.pilot.pause()

        at.settle_feed = settle_feed  # type: ignore[attr-defined]
        at.feed.approve = too_late  # type: ignore[method-assign]
        await at.press("a")
        await at.see("bo decided")
        assert "Yours did not count" in at.text()
        at.feed.approve = real  # type: ignore[method-assign]
        await at.wait(1000)
        await at.press("a")
        assert not approvals(at)


async def test_a_request_past_its_deadline_takes_no_key() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        await at.wait(528_000)
        await at.press("a", "d")
        assert not approvals(at)
        assert "expired" in at.text()


async def test_what_was_not_on_screen_cannot_be_approved() -> None:
    async with desk((80, 24)) as at:
        detail = ask_detail(
            "long", risk="LOW", undo="x", args={f"field{n:02}": f"value {n}" for n in range(30)}
        )
        at.feed.asks[detail["row"]["id"]] = detail
        at.feed.emit(Changed("asks", detail["row"]))
        await at.until(lambda: len(at.app.model.asks) == 4)
        await at.press("2")
        at.inbox.table.move_to(detail["row"]["id"].encode())
        await at.until(lambda: at.inbox.open_ask is not None and at.inbox.wanted == detail["row"]["id"])
        await at.press("enter")
        await at.wait(500)
        await at.arm()
        await at.press("a")
        assert not approvals(at)
        assert "not on screen yet" in at.text()
        await at.press("pagedown", "pagedown", "pagedown", "pagedown", "a")
        await at.see("you approved")


async def test_shorter_must_be_shorter_and_is_what_is_signed() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        await at.press("e")
        await at.type("9h")
        await at.press("enter")
        assert "shorter must end before that" in at.text()
        await at.press("e")
        await at.type("5m")
        await at.press("enter")
        assert "(5m00)" in at.text()
        await at.press("a")
        await at.see("you approved")
        assert approvals(at)[0][3] == "shorter"


async def test_narrower_leaves_items_out_and_adds_none() -> None:
    async with desk() as at:
        detail = ask_detail(
            "files",
            risk="LOW",
            undo="x",
            verb="config.restore",
            args={"files": ["a.toml", "b.toml", "c.toml"], "n": 3},
        )
        at.feed.asks[detail["row"]["id"]] = detail
        at.feed.emit(Changed("asks", detail["row"]))
        await at.until(lambda: len(at.app.model.asks) == 4)
        await at.open_ask(detail)
        await at.arm()
        await at.press("n")
        await at.type("files=a.toml,d.toml")
        await at.press("enter")
        assert "not in the list" in at.text()
        await at.press("n")
        await at.type("files=a.toml,c.toml")
        await at.press("enter")
        assert "narrowed: files=[a.toml, c.toml]" in at.text()
        await at.press("a")
        await at.see("you approved")
        assert approvals(at)[0][3:5] == ("narrower", {"files": ["a.toml", "c.toml"], "n": 3})


async def test_who_may_not_decide_is_told_why_and_can_still_deny() -> None:
    async with desk() as at:
        detail = ask_detail("mine", risk="LOW", undo="x", context={"forbidden": "you signed this intent"})
        at.feed.asks[detail["row"]["id"]] = detail
        at.feed.emit(Changed("asks", detail["row"]))
        await at.until(lambda: len(at.app.model.asks) == 4)
        await at.open_ask(detail)
        await at.arm()
        await at.press("a")
        assert not approvals(at)
        assert "you may not decide this: you signed this intent" in at.text()
        await at.press("d", "n", "o", "enter")
        await at.see("you denied")


async def test_letters_in_a_field_are_never_a_decision() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        await at.press("d")
        await at.type("a d r ! q 1 a")
        assert not approvals(at)
        await at.press("escape")
        assert not at.called("deny")
        assert at.app.place is at.inbox


def test_the_fake_asks_have_the_shape_of_the_protocol() -> None:
    assert ask_detail("x").keys() == AskDetail.__annotations__.keys()
    assert canonical(dict(b=1, a=2)) == canonical(dict(a=2, b=1))


async def test_letters_typed_ahead_of_a_field_go_into_it_and_decide_nothing() -> None:
    """Sent at once, as over a slow line: the second is on its way before the field has the focus."""
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.arm()
        at.send(*"dajk", "enter")
        await at.see("you denied")
        assert at.called("deny") == [("deny", at.feed.flag["row"]["id"], "ajk")]
        assert not approvals(at)


async def test_nothing_half_done_waits_on_a_place_that_was_left() -> None:
    async with desk() as at:
        await at.open_ask(at.feed.flag)
        await at.press("r")
        at.send("1", "enter")
        await at.settle()
        assert not at.called("revoke")
        await at.press("2", "enter", "enter")
        assert not at.called("revoke")
        await at.press("1", "p")
        at.send("2")
        await at.settle()
        await at.press("1", "enter")
        assert not at.called("pause")
