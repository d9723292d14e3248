"""The one place where text becomes a cell."""

from __future__ import annotations

import pytest
from hostile import ENORMOUS, ESCAPES, EVERYTHING, MARKUP, UNICODE
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from queenright_tui.look import ASCII_MARKS, MARKS, STATE_MARKS, Look
from queenright_tui.widgets.cell_text import Bit, bit, clean, fit, line_cells, line_text, mark, strip, wrap
from queenright_tui.widgets.spark import eighths

LOOK = Look()
ANY = st.text(st.characters(), max_size=80) | st.sampled_from([*ESCAPES, *MARKUP, *UNICODE])
FORBIDDEN = {
    c
    for c in map(
        chr,
        [
            *range(32),
            127,
            *range(128, 160),
            *range(0x200B, 0x2010),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x206A),
            0x2028,
            0x2029,
            0xFEFF,
        ],
    )
}


@given(ANY, st.integers(0, 60))
def test_a_line_is_exactly_as_wide_as_it_is_asked_to_be(text: str, width: int) -> None:
    drawn = strip([bit(text, "bad"), mark(" │ ", "frame"), bit(text)], width, LOOK)
    assert drawn.cell_length == width
    assert sum(cell_len(segment.text) for segment in drawn) == width


@given(ANY)
def test_nothing_a_terminal_obeys_is_left_in_a_cell(text: str) -> None:
    found = clean(text)
    assert not FORBIDDEN & set(found)
    assert all(cell_len(c) in (1, 2) for c in found)


@given(ANY)
def test_no_text_can_draw_our_marks(text: str) -> None:
    assert not MARKS & set(clean(text))
    drawn = strip([Bit("│┌▲ NEEDS YOU ● " + text, "run")], 200, LOOK)
    assert not MARKS & set(drawn.text)


@given(ANY)
def test_cleaning_what_is_clean_changes_nothing(text: str) -> None:
    once = clean(text, 4096)
    assert clean(once, 65536) == once


@given(ANY, st.integers(8, 40))
def test_wrapped_rows_fit(text: str, width: int) -> None:
    for row in wrap(text, width):
        assert cell_len(row) <= width
        assert "\n" not in row


@given(st.text(st.characters(), max_size=40), st.integers(0, 20), st.sampled_from("<>"))
def test_fitting_gives_exactly_the_cells(text: str, width: int, align: str) -> None:
    assert cell_len(fit(clean(text), width, align)) == width


@given(st.text(st.characters(), max_size=60))
def test_ascii_look_draws_only_ascii(text: str) -> None:
    look = Look(ascii=True)
    drawn = strip([bit(text), mark("▲ ●│▁█", "need")], 80, look)
    assert drawn.text.isascii()
    assert drawn.cell_length == 80


def test_a_mark_made_by_hand_of_foreign_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r"U\+001B"):
        mark("\x1b[2J")
    with pytest.raises(ValueError, match=r"U\+202E"):
        strip([Bit("\u202e", "", True)], 10, LOOK)


def test_a_megabyte_costs_no_more_than_what_is_drawn() -> None:
    assert len(clean(ENORMOUS, 280)) < 4000
    assert len(wrap(ENORMOUS, 60, limit=280, rows=6)) == 6
    assert line_cells((bit(ENORMOUS),)) < 100_000


def test_markup_is_letters() -> None:
    for text in MARKUP:
        assert line_text((bit(text),)) == text
        drawn = strip([bit(text)], 60, LOOK)
        assert all(segment.style is None or not segment.style.meta for segment in drawn)


def test_a_hidden_character_is_shown_not_dropped() -> None:
    assert "200b" in clean("zero\u200bwidth")
    assert "202e" in clean("\u202eabc")
    assert clean("a\x1bb") != "ab"


def test_every_state_differs_without_colour_and_in_ascii() -> None:
    words = [word for _, word, _ in STATE_MARKS.values()]
    assert len(set(words)) == len(words)
    look = Look(mono=True)
    assert all(
        look.style(style).color is None and look.style(style).bgcolor is None
        for _, _, style in STATE_MARKS.values()
    )
    assert look.style("need") != look.style("run") != look.style("bad")
    assert all(len(plain) == 1 and plain.isascii() for plain in ASCII_MARKS.values())
    assert all(cell_len(glyph) == 1 for glyph in MARKS)


@given(st.lists(st.floats(0, 1e9), max_size=40), st.integers(0, 30))
def test_a_sparkline_is_as_wide_as_asked_and_scaled_to_its_top(values: list[float], width: int) -> None:
    drawn = eighths(values, width)
    assert len(drawn) == max(width, len(values[-width:]) if width else len(drawn))


def test_a_sparkline_shows_nothing_where_nothing_was_measured() -> None:
    assert eighths([], 4) == "    "
    assert eighths([0, 4, 8], 4, top=8) == " ▁▄█"


def test_everything_hostile_stays_in_its_line() -> None:
    drawn = strip([bit(EVERYTHING)], 120, LOOK)
    assert "\n" not in drawn.text
    assert drawn.cell_length == 120
