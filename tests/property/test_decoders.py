"""Every Python decoder of untrusted bytes keeps its promise: on all seeds, on what was ever found, and on bytes near them."""

from __future__ import annotations

import pytest
from decoders import DECODERS
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import near
from seeds import DIRECTORY, FOUND, SEEDS

from queenright.wire import link

EXAMPLES = 150


def kept(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((DIRECTORY / target).iterdir())]


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_a_decoder_keeps_its_promise_near_real_values(name: str) -> None:
    seeds = kept(f"py_{name}")
    for seed in seeds:
        DECODERS[name].check(seed)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(near(seeds))
    def mutated(data: bytes) -> None:
        DECODERS[name].check(data)

    mutated()


def test_the_seeds_are_what_the_script_makes_and_every_directory_is_a_targets() -> None:
    """Run `python scripts/fuzz_seeds.py` when a format has changed."""
    on_disk = {
        place.name: {
            path.name: path.read_bytes() for path in place.iterdir() if not path.name.startswith(FOUND)
        }
        for place in DIRECTORY.iterdir()
    }
    assert on_disk == SEEDS


STRATEGIES: dict[type, st.SearchStrategy[object]] = {
    bytes: st.binary(max_size=40),
    str: st.text("aé\0\U0001f41d", max_size=5),
    int: st.integers(-(2**63), 2**64 - 1),
    bool: st.booleans(),
    type(None): st.none(),
    list: st.lists(st.integers(0, 9) | st.binary(max_size=3), max_size=3),
    dict: st.dictionaries(st.sampled_from("abc"), st.none() | st.binary(max_size=4), max_size=3),
}


@settings(deadline=None)
@given(st.sampled_from(sorted(link._FRAMES)), st.data())
def test_every_frame_comes_back_equal(kind: str, data: st.DataObject) -> None:
    shape = link._SHAPES[kind]
    values = {
        name: data.draw(st.one_of(*(STRATEGIES[one] for one in kinds)), label=name)
        for name, kinds in shape.items()
    }
    frame = link._FRAMES[kind](**values)
    assert link.decode(link.encode(frame)) == frame
