"""The card is drawn from canonical bytes, the digest computed here, friction follows risk, the verdict is signed."""

from __future__ import annotations

import json
import os

import pytest

from queenright.authority.ask import Ask, reason_hash, view_digest
from queenright.authority.document import APPROVE
from queenright.authority.verdict import Verdict
from queenright.cli.card import card, exact
from queenright.cli.friction import demand_consent, last_word
from queenright.cli.terminal import verdict_bytes
from queenright.core import canonical, decode, digest, verify_sshsig
from queenright.errors import Conflict, NotEntitled
from queenright_tui.ask_bytes import open_ask
from queenright_tui.feed import Approval

REASON = "p99 rose\n\x1b[2J\u202eapprove me [@click=app.approve]yes[/]"


def ask_bytes(clock, kit, **changes):
    now = clock.wall_ms()
    fields = {
        "runtime": kit.runtime,
        "intent": b"i" * 32,
        "revision": 1,
        "agent": b"a" * 32,
        "chain": b"c" * 32,
        "verb": "db.session.kill",
        "manifest": b"m" * 32,
        "resource": "db:shop/main",
        "args": {"session": 41, "hosts": ["web-1", "web-2", "web-3"]},
        "precondition": {"started": "2026-01-01T00:00:00Z"},
        "plan": b"p" * 32,
        "undo": b"u" * 32,
        "dry_run": b"",
        "policy": b"r" * 32,
        "risk": "MED",
        "answer_by": now + 600_000,
        "not_after": now + 1_200_000,
        "nonce": os.urandom(16),
    } | changes
    return Ask(**fields).encode()


def context(**changes):
    return {
        "chain": [{"id": "agent-" + "61" * 32, "name": "sre/\x1b[31mremedy", "behaviour": "sre.Remedy"}],
        "operator": "ana",
        "purpose": "heal the shop",
        "reason": REASON,
        "effect": "ends one session",
        "diff": "",
        "undo": "",
        "blast": {"resources": ["db:shop/main"], "agents": 1, "budget_used": 0, "budget_max": 1},
        "similar": [],
        "same_person": True,
        "accept_same_user": False,
        "forbidden": "",
    } | changes


@pytest.fixture
def opened(served, kit):
    """Make the service show an ask; gives its bytes."""

    def make(*, members=1, changed=None, **changes):
        documents = [ask_bytes(served.clock, kit, **changes) for _ in range(members)]
        row = {"id": "ask-1", "agent_name": "sre/\x1b[31mremedy", "state": "open"}
        served.service.answers["ask"] = {
            "row": row,
            "bytes": documents[0],
            "members": documents,
            "reasons": [REASON] * members,
            "more": 0,
            "context": context(**(changed or {})),
        }
        served.service.answers["resolve"] = {
            "kind": "ask",
            "id": f"ask-{Ask.decode(documents[0]).hash.hex()}",
            "name": "",
        }
        served.service.answers["ask_decide"] = {"ask": "ask-1", "state": "approved", "leaf": 4}
        return documents

    return make


def sent(served, kit, documents):
    (call,) = served.service.called("ask_decide")
    signed = verify_sshsig(kit.signer(kit.ana).key.line, APPROVE, call["verdict"], call["signature"])
    assert signed.fingerprint == kit.signer(kit.ana).key.fingerprint
    verdict = Verdict.decode(call["verdict"])
    asks = [Ask.decode(document) for document in documents]
    faults = verdict.faults([(ask, ask.hash, REASON) for ask in asks], served.clock.wall_ms())
    assert faults == ()
    return verdict


def test_approval_signs_exactly_the_bytes_that_were_drawn(served, kit, cli, opened):
    documents = opened()
    code, _, err = cli("ask", "approve", "ask-1", "--yes")
    assert code == 0
    verdict = sent(served, kit, documents)
    assert (verdict.answer, verdict.max_uses, verdict.factor) == ("once", 1, "none")
    assert verdict.not_after == Ask.decode(documents[0]).not_after
    assert digest("ask", documents[0]).hex() in err  # computed here, shown before signing
    assert verdict.view == digest("views", canonical([view_digest(digest("ask", documents[0]), REASON)]))
    assert reason_hash(REASON) != reason_hash("")


def test_group_is_one_verdict_over_exactly_its_members(served, kit, cli, opened):
    documents = opened(members=37)
    code, _, err = cli("ask", "approve", "ask-1", "--yes")
    assert code == 0
    assert "37 equal requests" in err
    assert sent(served, kit, documents).max_uses == 37


def test_digest_shown_for_other_bytes_than_sent_is_refused(served, kit, cli, opened):
    opened()
    served.service.answers["ask"]["bytes"] = ask_bytes(served.clock, kit, verb="fs.read")
    code, _, err = cli("ask", "approve", "ask-1", "--yes")
    assert code == 1
    assert "do not fit together" in err
    assert served.service.called("ask_decide") == []


def test_narrowing_leaves_out_exactly_what_was_named(served, kit, cli, opened):
    documents = opened()
    assert cli("ask", "narrow", "ask-1", "--drop", "hosts=web-2", "--yes")[0] == 0
    verdict = sent(served, kit, documents)
    assert verdict.answer == "narrower"
    assert verdict.args == {"session": 41, "hosts": ["web-1", "web-3"]}


@pytest.mark.parametrize("drop", ["hosts=web-9", "session=41", "nothing=x", "hosts"])
def test_narrowing_by_what_is_not_there_is_refused_with_what_is(served, cli, opened, drop):
    opened()
    code, _, err = cli("ask", "narrow", "ask-1", "--drop", drop, "--yes")
    assert code == 1
    assert "hint: `queenright ask show" in err
    assert served.service.called("ask_decide") == []


def test_shortening_ends_sooner_and_never_later(served, kit, cli, opened):
    documents = opened()
    assert cli("ask", "shorten", "ask-1", "--for", "2m", "--yes")[0] == 0
    assert sent(served, kit, documents).not_after == served.clock.wall_ms() + 120_000


@pytest.mark.parametrize(
    ("risk", "args", "code"),
    [
        ("LOW", ["--yes"], 0),
        ("LOW", [], 3),
        ("MED", ["--yes"], 0),
        ("HIGH", ["--yes"], 3),
        ("HIGH", ["--type", "main"], 3),
        ("HIGH", ["--type", "main", "--accept-same-user"], 0),
        ("HIGH", ["--type", "mian", "--accept-same-user"], 3),
        ("CRITICAL", ["--type", "main", "--accept-same-user"], 3),
        ("CRITICAL", ["--type", "db:shop/main", "--accept-same-user"], 0),
        ("CRITICAL", ["--yes", "--accept-same-user"], 3),
    ],
)
def test_friction_follows_the_risk(served, cli, opened, risk, args, code):
    opened(risk=risk)
    assert cli("ask", "approve", "ask-1", *args)[0] == code
    assert len(served.service.called("ask_decide")) == (1 if code == 0 else 0)


def test_taken_risk_of_ones_own_user_is_in_the_verdict(served, kit, cli, opened):
    documents = opened(risk="HIGH")
    assert cli("ask", "approve", "ask-1", "--type", "main", "--accept-same-user")[0] == 0
    assert sent(served, kit, documents).factor == "none same-user"


def test_key_apart_from_the_supervisors_user_needs_no_such_word():
    consent = {"typed": "web", "accept_same_user": False, "yes": False}
    assert demand_consent("HIGH", "svc:shop/web", distance="hardware", **consent) == "hardware"
    with pytest.raises(NotEntitled):
        demand_consent("HIGH", "svc:shop/web", distance="none", **consent)
    with pytest.raises(NotEntitled):
        demand_consent("NEW-RISK", "svc:shop/web", distance="uid", **consent)
    assert last_word("svc:shop/web") == "web"
    assert last_word("ws:self") == "self"


def test_who_may_not_decide_is_told_before_signing(served, cli, opened):
    opened(changed={"forbidden": "ana signed the intent, which excludes its requester"})
    code, _, err = cli("ask", "approve", "ask-1", "--yes")
    assert code == 3
    assert "NOT YOU ana signed the intent" in err
    assert served.service.called("ask_decide") == []


def test_second_operator_is_told_who_was_first(served, cli, opened):
    opened()
    served.service.answers["ask_decide"] = Conflict("ask-1 is approved already by bo 2 s ago")
    code, _, err = cli("ask", "approve", "ask-1", "--yes")
    assert code == 1
    assert "approved already by bo" in err


def test_agents_words_stay_behind_their_fence(served, kit):
    lines = card(
        [(ask_bytes(served.clock, kit), REASON)], context(), name="x\x1b[2J", now_ms=served.clock.wall_ms()
    )
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "\u202e" not in text
    said = lines.index("       agent says (untrusted):")
    assert [line.startswith("       | ") for line in lines[said + 1 : said + 3]] == [True, True]
    assert not any("approve me" in line for line in lines if not line.startswith("       | "))


@pytest.mark.parametrize("text", ["a\nRISK LOW", "\x1b[2J", "\u202e", "web\u00e9", "\\u{1b}", "\u2028"])
def test_signed_values_are_drawn_with_every_character_visible(text):
    drawn = exact(text)
    assert drawn.isascii()
    assert drawn.isprintable()


def test_different_values_are_never_drawn_alike():
    texts = [
        "a",
        "a ",
        "\u0430",
        "\\u{430}",
        "a\n",
        "a\\n",
        "1",
        "0x31",
        "yes",
        "none",
        '"',
        '\\"',
        '", "',
        "[1]",
    ]
    values = [*texts, 1, 1.0, True, None, b"1", ["1"], [1], ["a", "b"], ['a", "b'], {"1": 1}, {"1": "1"}, []]
    drawn = [exact(value) for value in values]
    assert len(set(drawn)) == len(drawn)


def test_irreversible_is_said_in_words(served, kit):
    text = "\n".join(
        card([(ask_bytes(served.clock, kit, risk="CRITICAL"), "")], context(), name="x", now_ms=0)
    )
    assert "IRREVERSIBLE" in text


def test_ask_travels_to_another_machine_and_its_verdict_comes_back(
    served, kit, cli, opened, tmp_path, monkeypatch
):
    documents = opened()
    code, exported, _ = cli("ask", "export", "ask-1")
    assert code == 0
    (tmp_path / "a").write_text(exported)
    monkeypatch.setenv("QUEENRIGHT_STATE", str(tmp_path / "elsewhere"))  # no supervisor there
    code, signed, err = cli("sign", str(tmp_path / "a"), "--yes")
    assert code == 0
    assert "db.session.kill  db:shop/main" in err
    (tmp_path / "a.sig").write_text(signed)
    monkeypatch.setenv("QUEENRIGHT_STATE", str(served.path.parent.parent))
    assert cli("ask", "approve", "ask-1", "--signature", str(tmp_path / "a.sig"))[0] == 0
    assert sent(served, kit, documents).factor == "elsewhere"
    served.service.answers["resolve"] = {"kind": "ask", "id": "ask-" + "00" * 32, "name": ""}
    code, _, err = cli("ask", "approve", "ask-2", "--signature", str(tmp_path / "a.sig"))
    assert code == 1
    assert "decides another ask" in err


def test_altered_export_is_refused_or_signs_other_bytes(cli, opened, tmp_path):
    opened()
    exported = json.loads(cli("ask", "export", "ask-1")[1])
    for change in (
        {"v": 2},
        {"kind": "verdict"},
        {"members": []},
        {"members": [{"document": "!!", "reason": ""}]},
        {"extra": 1},
    ):
        (tmp_path / "a").write_text(json.dumps(exported | change))
        assert cli("sign", str(tmp_path / "a"), "--yes")[0] == 1
    assert cli("sign", str(tmp_path / "none"))[0] == 1
    assert cli("sign", str(tmp_path / "a"), "--for", "1m", "--deny", "no")[0] == 2


def test_terminals_approval_becomes_the_verdict_of_exactly_what_was_on_screen(served, kit):
    documents = [ask_bytes(served.clock, kit) for _ in range(3)]
    body = decode(documents[0])
    detail = {
        "row": {"id": f"ask-{digest('ask', documents[0]).hex()}"},
        "bytes": documents[0],
        "members": documents,
        "reasons": [REASON] * 3,
    }
    args = {"session": 41, "hosts": ["web-1"]}
    asked = open_ask(detail)
    approval = Approval(asked, "narrower", args, 2, body["not_after"] - 1, same_user=True)
    verdict = Verdict.decode(verdict_bytes(approval, "none same-user"))
    members = [(Ask.decode(document), digest("ask", document), REASON) for document in documents]
    assert verdict.faults(members, served.clock.wall_ms()) == ()
    assert (verdict.answer, verdict.args, verdict.max_uses) == ("narrower", args, 2)
    assert (verdict.not_after, verdict.factor) == (body["not_after"] - 1, "none same-user")


def test_denying_needs_no_signature(served, cli, opened):
    opened()
    served.service.answers["ask_deny"] = {"ask": "ask-1", "state": "denied", "leaf": 3}
    assert cli("ask", "deny", "ask-1", "--reason", "use the replica", "--freeze")[0] == 0
    (call,) = served.service.called("ask_deny")
    assert (call["reason"], call["freeze"]) == ("use the replica", True)
    assert served.gate.spent == set()
