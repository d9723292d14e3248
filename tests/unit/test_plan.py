"""Plans, manifests and risk: what is sealed is what runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.actions.manifest import Arg, Manifest
from queenright.actions.plan import Plan, risk_of
from queenright.actions.registry import VERBS, find_manifest
from queenright.core import canonical
from queenright.errors import Denied, Malformed

PLAN = Plan(
    "flag.set", b"m" * 32, "svc:web", {"name": "on", "value": True}, "on: false → true", {"value": False},
    {"value": False}, "set it to false again", {"before": b"s" * 32}, "exact", "LOW",
)  # fmt: skip


def test_a_plan_reads_back_and_any_change_changes_its_digest() -> None:
    assert Plan.decode(PLAN.encode()) == PLAN
    changed = [
        replace(PLAN, verb="flag.get"),
        replace(PLAN, manifest=b"n" * 32),
        replace(PLAN, resource="svc:other"),
        replace(PLAN, args={"name": "on", "value": False}),
        replace(PLAN, effect="nothing much"),
        replace(PLAN, precondition={}),
        replace(PLAN, undo=None),
        replace(PLAN, undo_text=""),
        replace(PLAN, images={}),
        replace(PLAN, klass="none"),
        replace(PLAN, risk="CRITICAL"),
    ]
    assert len({plan.digest for plan in (PLAN, *changed)}) == len(changed) + 1
    for bad in (b"", canonical({}), canonical({"v": 1}), canonical([1]), PLAN.encode()[:-1]):
        with pytest.raises(Malformed):
            Plan.decode(bad)


@pytest.mark.parametrize(
    ("klass", "resources", "marked", "floor", "risk"),
    [
        ("read", 1, False, "LOW", "LOW"),
        ("read", 1, True, "LOW", "LOW"),
        ("exact", 1, False, "LOW", "LOW"),
        ("exact", 2, False, "LOW", "MED"),
        ("compensate", 1, False, "LOW", "MED"),
        ("compensate", 2, False, "LOW", "HIGH"),
        ("exact", 1, True, "LOW", "HIGH"),
        ("none", 1, False, "LOW", "CRITICAL"),
        ("exact", 1, False, "MED", "MED"),
        ("none", 1, True, "LOW", "CRITICAL"),
        ("exact", 1, True, "MED", "HIGH"),
    ],
)
def test_risk_is_computed_as_the_table_says(klass, resources, marked, floor, risk) -> None:  # type: ignore[no-untyped-def]
    assert risk_of(klass, resources=resources, marked=marked, floor=floor) == risk
    assert risk_of(klass, resources=resources, marked=marked, floor=floor, discloses=True) == "CRITICAL"


MANIFEST = Manifest(
    "x.y",
    ("svc",),
    "exact",
    {
        "name": Arg("str", pattern=r"[a-z]+", most=5),
        "count": Arg("int", 3, most=10),
        "tags": Arg("strs", None, most=2, pattern="[a-z]"),
    },
)


def test_arguments_are_materialised_with_every_default() -> None:
    assert MANIFEST.materialise({"name": "abc"}) == {"name": "abc", "count": 3, "tags": None}
    for wrong in (
        {},
        {"name": "ABC"},
        {"name": "abcdef"},
        {"name": "abc\n"},
        {"name": 3},
        {"name": "a", "count": True},
        {"name": "a", "count": 11},
        {"name": "a", "count": -1},
        {"name": "a", "tags": ["a", "b", "c"]},
        {"name": "a", "tags": ["ab"]},
        {"name": "a", "tags": "a"},
        {"name": "a", "other": 1},
    ):
        with pytest.raises(Malformed):
            MANIFEST.materialise(wrong)


@given(
    st.dictionaries(st.sampled_from(["name", "count", "tags"]), st.one_of(st.integers(), st.text(max_size=6)))
)
def test_what_is_materialised_is_materialised_again_unchanged(args: dict[str, object]) -> None:
    try:
        made = MANIFEST.materialise(args)
    except Malformed:
        return
    assert MANIFEST.materialise(made) == made


def test_an_action_that_is_not_installed_is_denied_by_name() -> None:
    with pytest.raises(Denied, match=r"iam\.grant is not an action"):
        find_manifest("iam.grant")
    assert {find_manifest(verb).verb for verb in VERBS} == set(VERBS)
