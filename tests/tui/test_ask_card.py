"""The card: every signed field is on it, and an agent's words stay behind their fence."""

from __future__ import annotations

import pytest
from fake_feed import NOW, ask_body, ask_detail, group
from hostile import ENORMOUS, EVERYTHING
from hypothesis import given
from hypothesis import strategies as st

from queenright.core import digest, leaf_hash, merkle_root
from queenright.errors import Malformed
from queenright_tui.ask_bytes import open_ask
from queenright_tui.ask_card import Choice, ask_deadline, card_lines, exact, sign_lines, ttl_default
from queenright_tui.feed import OpenAsk
from queenright_tui.friction import demand
from queenright_tui.widgets.cell_text import line_cells, line_text


def opened(name: str = "x", **more: object) -> OpenAsk:
    detail = ask_detail(name, **more)
    return open_ask(detail)  # type: ignore[arg-type]


def rows(ask: OpenAsk, width: int = 74, **more: bool) -> list[str]:
    return [line_text(line) for line in card_lines(ask, width, NOW, **more)]


def test_every_field_of_the_signed_bytes_is_on_the_card() -> None:
    ask = opened()
    text = "\n".join(rows(ask))
    for name, value in ask_body("x").items():
        if name in ("v", "kind"):
            continue
        if isinstance(value, bytes):
            assert (value.hex()[:8] or name) in text, name
        elif name in ("answer_by", "not_after"):
            continue
        elif isinstance(value, dict):
            for key, part in value.items():
                assert str(key) in text, key
                assert str(part) in text, part
        else:
            assert str(value) in text or name == "risk", name
    assert "08:09:55Z" in text
    assert "08:24:55Z" in text


def test_a_field_nobody_thought_of_is_shown_too() -> None:
    ask = opened(surprise="transfer everything")
    assert "surprise transfer everything" in " ".join(" ".join(rows(ask)).split())


def test_the_block_that_is_signed_shows_the_digest_of_the_bytes() -> None:
    ask = opened()
    choice = Choice(1, ttl_default(ask, NOW))
    text = "\n".join(
        line_text(line)
        for line in sign_lines(ask, choice, demand("CRITICAL", "db:shop/main", same_user=False), 74, NOW)
    )
    shown = ask.digest.hex()[:24]
    assert " ".join(shown[i : i + 4] for i in range(0, 24, 4)) in text
    assert "db.session.kill  db:shop/main" in text
    assert "1 use" in text
    assert "db:shop/main and enter" in text


@given(st.text(st.characters(), max_size=400) | st.just(EVERYTHING) | st.just(ENORMOUS))
def test_an_agents_words_stay_behind_the_fence(reason: str) -> None:
    ask = opened(reason=reason)
    plain = opened(reason="")
    lines = rows(ask)
    start = next(at for at, row in enumerate(lines) if "agent says (untrusted)" in row)
    fenced = []
    for row in lines[start + 1 :]:
        if not row.startswith("       | "):
            break
        fenced.append(row)
    rest = lines[:start] + lines[start + 1 + len(fenced) :]
    without = [row for row in rows(plain) if "agent says (untrusted)" not in row]
    assert rest == without
    assert len(fenced) <= 6


@given(st.integers(60, 130))
def test_the_card_fits_its_width(width: int) -> None:
    ask = opened(
        args={"sql": EVERYTHING},
        reason=EVERYTHING,
        effect=EVERYTHING,
        diff=EVERYTHING,
        undo=EVERYTHING,
        risk="HIGH",
    )
    for line in card_lines(ask, width, NOW):
        assert line_cells(line) <= width


@given(st.text(st.characters(), max_size=60))
def test_a_value_is_shown_byte_for_byte(value: str) -> None:
    shown = exact(value)
    assert shown.isascii()
    assert shown.isprintable()
    back = shown.encode().decode("unicode_escape", "surrogatepass") if "\\u{" not in shown else None
    if back is not None:
        assert back == value


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.text(st.characters(codec="utf-8"), max_size=20))
def test_two_different_values_never_look_alike(one: str, other: str) -> None:
    assert (exact(one) == exact(other)) == (one == other)


def test_a_long_value_is_folded_with_its_length_and_hash() -> None:
    text = "\n".join(rows(opened(args={"sql": "select 1; " * 1000})))
    assert "folded: 10000 bytes in all, sha256" in text


def test_a_name_that_can_look_like_another_is_flagged_and_escaped() -> None:
    text = "\n".join(rows(opened(resource="svc:shop/w\u0435b")))
    assert r"svc:shop/w\u{435}b" in text
    assert "can look like others" in text


@pytest.mark.parametrize(
    ("risk", "undo", "red"),
    [("CRITICAL", "", True), ("CRITICAL", "none", True), ("LOW", "set it back", False), ("HIGH", "", True)],
)
def test_red_words_only_where_nothing_can_put_it_back(risk: str, undo: str, red: bool) -> None:
    assert ("IRREVERSIBLE" in "\n".join(rows(opened(risk=risk, undo=undo)))) is red


def test_the_diff_is_fenced_folded_and_can_be_shown_whole() -> None:
    ask = opened(diff="\n".join(f"+line {n}" for n in range(50)))
    folded = rows(ask)
    assert sum("| +line" in row for row in folded) == 8
    assert any("42 more rows: = shows the whole diff" in row for row in folded)
    assert sum("| +line" in row for row in rows(ask, whole_diff=True)) == 50


def test_the_deadline_and_the_grant_come_from_the_signed_bytes() -> None:
    ask = opened(answer_by=NOW + 5000, not_after=NOW + 9000)
    ask.detail["row"]["deadline_ms"] = NOW + 999_999_999
    assert ask_deadline(ask) == NOW + 5000
    assert ttl_default(ask, NOW) == NOW + 9000
    assert "08:01:12Z" in "\n".join(rows(ask))


def test_equal_requests_show_every_wording_and_sign_the_root_of_all() -> None:
    detail = group(3, risk="LOW", undo="x")
    detail["more"] = 2
    ask = open_ask(detail)
    text = " ".join(" ".join(rows(ask)).split())
    assert "3 equal requests under one verdict, each once; 2 more since, not covered" in text
    assert all(f"| wording {n}" in text for n in range(3))
    hashes = [digest("ask", data) for data in detail["members"]]
    assert ask.digest == merkle_root([leaf_hash(found) for found in hashes])
    need = demand("LOW", "x", same_user=False)
    block = [line_text(line) for line in sign_lines(ask, Choice(3, NOW + 1000), need, 74, NOW)]
    assert "3 requests once each" in block[1]
    assert ask.digest.hex()[:4] in block[2]


def test_the_earliest_end_of_equal_requests_holds_for_all() -> None:
    first, second = (
        ask_detail("a", answer_by=NOW + 9000),
        ask_detail("b", answer_by=NOW + 5000, not_after=NOW + 6000),
    )
    detail = first | {"members": [first["bytes"], second["bytes"]], "reasons": ["", ""]}
    ask = open_ask(detail)
    assert (ask.answer_by, ask.not_after) == (NOW + 5000, NOW + 6000)


OTHER_ARGS, OTHER_PLAN = (
    ask_detail("x", args={"session": "43"})["bytes"],
    ask_detail("x", plan=bytes(32))["bytes"],
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bytes": OTHER_ARGS}, "do not agree"),
        ({"members": []}, "do not agree"),
        ({"reasons": []}, "do not agree"),
        (
            {"members": [ask_detail("x")["bytes"], OTHER_ARGS], "reasons": ["", ""]},
            "another content stands among",
        ),
        (
            {"members": [ask_detail("x")["bytes"], OTHER_PLAN], "reasons": ["", ""]},
            "another content stands among",
        ),
        ({"members": [ask_detail("x")["bytes"]] * 2, "reasons": ["", ""]}, "stands twice"),
        ({"bytes": OTHER_PLAN, "members": [OTHER_PLAN]}, "not the request of that id"),
    ],
)
def test_bytes_that_are_not_what_the_runtime_says_cannot_be_opened(change: dict, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        open_ask(ask_detail("x") | change)


@given(st.integers(0, 400), st.integers(0, 7))
def test_no_flipped_bit_of_the_bytes_can_be_opened(at: int, bit_number: int) -> None:
    """Any other byte is another request: its id does not match, or it is no ask at all."""
    detail = ask_detail("x")
    data = bytearray(detail["bytes"])
    data[at % len(data)] ^= 1 << bit_number
    with pytest.raises(Malformed):
        open_ask(detail | {"bytes": bytes(data), "members": [bytes(data)]})


def test_the_block_that_is_signed_is_always_four_rows() -> None:
    for resource in ("svc:shop/web", "svc:shop/" + "x" * 500, "svc:" + EVERYTHING):
        ask = opened(resource=resource)
        need = demand("CRITICAL", resource, same_user=True)
        lines = sign_lines(ask, Choice(1, NOW + 1000, (("files", ("a" * 300,)),)), need, 74, NOW)
        assert len(lines) == 4
        assert line_cells(lines[0]) <= 74
        assert "digest" in line_text(lines[2])
