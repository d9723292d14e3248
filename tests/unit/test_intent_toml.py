"""The TOML of an intent: every key does something or is refused at its place, everything wrong at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from queenright.authority.amount import duration_ms, rate, show_duration
from queenright.authority.intent import Approval, Intent, Limits, Talk
from queenright.authority.intent_explain import explain
from queenright.authority.intent_toml import IntentMalformed, parse_intent
from queenright.authority.reach import reach
from queenright.authority.rule import Never, Rate, Rule
from queenright.authority.toml_place import places
from queenright.errors import Malformed

EXAMPLES = Path(__file__).parents[2] / "examples" / "intents"
GOOD = """[intent]
purpose = "why"
swarm = "sre"
for = "2h"
depth = 1
max_agents = 4

[run]
start = "sre.Watcher"
packages = ["sre"]

[[allow]]
do = ["svc.restart", "db.*"]
on = "svc:payments"
"""
BYTE = {"runtime": bytes(32), "now_ms": 1_800_000_000_000, "rand": bytes}


def compiled(text: str) -> Intent:
    return parse_intent(text).compile(packages={"sre": b"s" * 32, "watch": b"w" * 32}, **BYTE)  # type: ignore[arg-type]


def wrong(text: str) -> list[str]:
    with pytest.raises(IntentMalformed) as error:
        parse_intent(text)
    return [str(problem) for problem in error.value.problems]


def test_the_intent_of_the_design_says_all_it_says() -> None:
    draft = parse_intent((EXAMPLES / "payments.toml").read_text())
    assert [clause.rule for clause in draft.clauses] == [
        Rule(
            "allow",
            ("logs.read", "metrics.read"),
            "svc:payments/**",
            None,
            0,
            Rate(20, 1000),
            Rate(200, 1000),
        ),
        Rule("allow", ("svc.restart",), "svc:payments", 2, 300_000),
        Rule("ask", ("db.write",), "pg:payments/*", 1),
    ]
    assert draft.clauses[2].approval == Approval(("@oncall-db",), 1, ("requester", "spawner"), 600_000)
    assert draft.never == (Never(("secret.reveal", "iam.*")),)
    assert draft.only == ("db.write",)
    assert draft.limits == Limits(3, 200, 20_000)
    assert (draft.for_ms, draft.apply_ms, draft.start, draft.args) == (
        7_200_000, 900_000, "sre.Watcher", {"service": "svc:payments"},
    )  # fmt: skip


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_compiles_and_explains_itself(path: Path) -> None:
    draft = parse_intent(path.read_text())
    packages = dict.fromkeys(draft.packages, b"p" * 32)
    intent = draft.compile(packages=packages, **BYTE)  # type: ignore[arg-type]
    assert Intent.decode(intent.encode()) == intent
    lines = explain(intent.encode())
    assert lines[-1] == "everything else is refused"
    assert all(line.isprintable() for line in lines)


def test_everything_wrong_is_said_at_once_with_line_and_column() -> None:
    text = """[intent]
purpos = "x"
swarm = "S"
for = "2 h"
depth = 9
[run]
start = "sre.Watcher"
packages = ["foo", 3,
   "foo"]
[[allow]]
do = ["svc.restart", "Bad verb"]
on = "svc:*foo"
rate = "20 per s"
[[ask]]
do = "*"
quorum = 0
[[never]]
[wat]
"""
    found = wrong(text)
    assert [line.split(": ")[0] for line in found] == [
        "1:1", "2:1", "3:1", "4:1", "5:1", "7:1", "8:20", "9:4", "11:22", "12:1", "13:1", "14:1", "15:1", "16:1",
        "17:1", "18:1",
    ]  # fmt: skip
    assert "did you mean `purpose`?" in found[1]
    assert 'write "20/s per agent, 200/s in all"' in found[10]


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (('for = "2h"', 'for = "0s"'), "4:1", "not a duration"),
        (('for = "2h"', "for = 7200"), "4:1", "not a duration"),
        (('for = "2h"', 'for = "401d"'), "4:1", "not a duration"),
        (('for = "2h"\n', ""), "1:1", "`for` is missing"),
        (('purpose = "why"', 'purpose = "a\\u202eb"'), "2:1", "one line"),
        (('purpose = "why"', f'purpose = "{"x" * 201}"'), "2:1", "one line"),
        (("depth = 1", "depth = 0"), "6:1", "no agent may spawn"),
        (("max_agents = 4", "max_agents = 1"), "5:1", "`max_agents` is 1"),
        (("max_agents = 4", "max_agents = true"), "6:1", "whole number"),
        (("max_agents = 4", "max_agents = 4\nagents_ever = 3"), "7:1", "whole number"),
        (("max_agents = 4", 'max_agents = 4\nnot_before = "soon"'), "7:1", "time with its zone"),
        (("max_agents = 4", "max_agents = 4\nnot_before = 2027-01-15T08:00:00"), "7:1", "time with its zone"),
        (("max_agents = 4", 'max_agents = 4\napply_within = "8d"'), "7:1", "at most 7 d"),
        (('start = "sre.Watcher"', 'start = "other.Watcher"'), "9:1", "not of a package"),
        (('packages = ["sre"]', 'packages = ["sre", "../up"]'), "10:20", "not right"),
        (('packages = ["sre"]', "packages = [\"sre\"]\nargs = { at = 2027-01-15T08:00:00Z }"), "11:1", "cannot be signed"),
        (('packages = ["sre"]', "packages = [\"sre\"]\nargs = 3"), "11:1", "`args` is a table"),
        (('"svc.restart"', '"svc.restart", "svc.restart"'), "13:22", "stands twice"),
        (('"svc.restart"', '"*"'), "13:7", "every verb"),
        (('on = "svc:payments"', 'on = "payments"'), "14:1", "not a name or pattern"),
        (('on = "svc:payments"', 'on = "svc:payments"\nmax = 0'), "15:1", "whole number"),
        (('on = "svc:payments"', 'on = "svc:payments"\nquorum = 2'), "15:1", "unknown key `quorum`"),
        (("[[allow]]", "[allow]"), "12:1", "write [[allow]]"),
        (("[intent]", "[[intent]]"), "1:1", "write [intent]"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[delegate]\nonly = ["iam.grant"]'), "16:1", "nothing is handed"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[delegate]\nonly = ["db.write"]'), "16:1", "wider than"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[delegate]'), "15:1", "`only` is missing"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[[never]]\ndo = "svc.*"'), "12:1", "[[never]] covers `svc.restart`"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[[ask]]\ndo = "db.*"\non = "**"'), "12:1", "[[ask]] covers `db.*`"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[[talk]]\nfrom = "x.Y"\nto = "sre.W"'), "16:1", "not of a package"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[[ask]]\ndo = "iam.x"\non = "**"\nanswer_within = "3h"'), "18:1", "from 1s"),
        (('on = "svc:payments"', 'on = "svc:payments"\n[[ask]]\ndo = "iam.x"\non = "**"\nexcluding = "me"'), "18:1", "not right"),
        (("[[allow]]", "[[allow"), "12:8", "not TOML"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem_at_its_place(change: tuple[str, str], place: str, words: str) -> None:
    assert change[0] in GOOD
    found = wrong(GOOD.replace(*change))
    assert len(found) == 1, found
    assert found[0].startswith(f"{place}: ")
    assert words in found[0]


def test_an_intent_that_allows_nothing_is_refused() -> None:
    assert "nothing is allowed" in wrong(GOOD[: GOOD.index("[[allow]]")])[0]


def test_huge_and_deep_texts_are_refused() -> None:
    assert "at most" in wrong(GOOD + "#" * 300_000)[0]
    assert wrong("a = " + "[" * 5_000 + "]" * 5_000)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("90s", 90_000), ("5m", 300_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("10ms", 10)],
)
def test_durations(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5m5m", "-5m", "5 m", "1.5h", "5M", "٥m", "0s", "401d", "9999999999s"]
)
def test_texts_that_are_no_durations(text: str) -> None:
    with pytest.raises(Malformed):
        duration_ms(text)


def test_rates() -> None:
    assert rate("20/s per agent, 200/m in all") == (Rate(20, 1_000), Rate(200, 60_000))
    assert rate("5/h") == (None, Rate(5, 3_600_000))
    for text in ("", "5", "0/s", "5/s per agent, 6/s per agent", "5/s each", "5/s,"):
        with pytest.raises(Malformed):
            rate(text)


def test_durations_are_shown_by_their_two_largest_units() -> None:
    assert [show_duration(ms) for ms in (0, 999, 61_000, 3_600_000, 90_061_000)] == [
        "0 s", "999 ms", "1 m 1 s", "1 h", "1 d 1 h",
    ]  # fmt: skip


def test_places_survive_strings_comments_and_inline_tables() -> None:
    text = '''a = "x # no [comment] \\" here" # [b]
"quoted key" = 'lit\\'
multi = """
[not.a.table]
k = 1 \\""" """
[[list]]
x = [ # comment ]
  1, [2, "]"],
  { y = 3 },
]
[list.sub]
deep.er = 1
[[list]]
x = []
'''
    found = places(text)
    assert found[("quoted key",)] == (2, 1)
    assert found[("multi",)] == (3, 1)
    assert ("not", "a", "table") not in found
    assert found[("list", 0, "x", 1, 1)] == (8, 10)
    assert found[("list", 0, "x", 2, "y")] == (9, 5)
    assert found[("list", 0, "sub", "deep", "er")] == (12, 1)
    assert found[("list", 1)] == (13, 1)


def test_talk_clauses_give_the_reach() -> None:
    everyone = reach(compiled(GOOD))
    assert everyone.allows("sre.A", "sre.B")
    text = (
        GOOD
        + '[[talk]]\nfrom = ["sre.A", "sre.B"]\nto = "sre.C"\n[[talk]]\nfrom = "sre.A"\nto = "pay.X"\nswarm = "pay"\n'
    )
    intent = compiled(text)
    assert intent.talk[0] == Talk(("sre.A", "sre.B"), ("sre.C",))
    some = reach(intent)
    assert some.allows("sre.B", "sre.C")
    assert not some.allows("sre.C", "sre.B")
    assert not some.allows("sre.A", "pay.X")
    other = GOOD.replace('swarm = "sre"', 'swarm = "pay"')
    silent = reach(compiled(other))
    assert not some.allows_across("sre.A", silent, "pay.X")
    packages = 'packages = ["sre"]'
    answering = reach(
        parse_intent(
            other.replace(packages, 'packages = ["sre", "pay"]')
            + '[[talk]]\nfrom = "pay.X"\nto = "sre.A"\nswarm = "sre"\n'
        ).compile(packages={"sre": b"s" * 32, "pay": b"y" * 32}, **BYTE)  # type: ignore[arg-type]
    )
    assert some.allows_across("sre.A", answering, "pay.X")
    assert answering.allows_across("pay.X", some, "sre.A")
    assert not some.allows_across("sre.B", answering, "pay.X")


def test_explanation_is_drawn_from_the_bytes_and_names_every_limit() -> None:
    draft = parse_intent((EXAMPLES / "payments.toml").read_text())
    intent = draft.compile(packages={"sre": b"s" * 32}, **BYTE)  # type: ignore[arg-type]
    text = "\n".join(explain(intent.encode()))
    for words in (
        "incident 4711: payments p99",
        "(2 h); to be applied before 2027-01-15T08:15:00Z",
        "starts sre.Watcher",
        "with service = 'svc:payments'",
        "sre sha256:7373737373737373",
        "3 generations deep, to 200 agents at once, 20000 in all",
        "logs.read, metrics.read on svc:payments and everything under it: 20 a second each agent, 200 a second all together",
        "svc.restart on svc:payments: 2 times in all, at least 5 m apart",
        "db.write on everything directly under pg:payments: once in all",
        "one person of @oncall-db within 10 m, but not who signed this intent nor who started the swarm; no answer is a no",
        "secret.reveal, iam.* on anything",
        "does not itself use: db.write",
    ):
        assert words in text
    with pytest.raises(Malformed):
        explain(intent.encode() + b"\0")


def test_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(Malformed, match="no such package: sre"):
        parse_intent(GOOD).compile(packages={}, **BYTE)  # type: ignore[arg-type]
