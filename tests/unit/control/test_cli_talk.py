"""What commands say to the supervisor and to the person: calls, exit codes, streams, JSON, untrusted text."""

from __future__ import annotations

import io
import json
import os

import pytest

from queenright.cli import logs
from queenright.errors import Conflict, Denied, Dimension, Malformed, NotEntitled

AGENT = "agent-" + "ab" * 32
EVIL = "sre/\x1b]0;owned\x07\x1b[2J\u202egol"


def row(**changes):
    return {
        "id": AGENT,
        "name": EVIL,
        "behaviour": "sre.Logs",
        "intent": "intent-" + "cd" * 32,
        "parent": None,
        "depth": 0,
        "state": "needs_human",
        "mailbox": 2,
        "rate": 1.5,
        "leases": 0,
        "ttl_ms": None,
        "health": [0, 0, 1, 0, 0, 2],
        "cell": "cell-1",
        "shared": True,
        "incarnation": 1,
        "doing": "\x1b[31mred\x1b[0m [@click=app.quit]x[/]",
    } | changes


REACH = {
    "verb": "stop", "cells": 1, "turns": 2, "commands": 1, "acts": 0, "connections": 4, "processes": 57, "ms": 34, "unreached": 0,
    "late": [], "finishing": [], "unknown": [],
}  # fmt: skip


def test_an_order_says_what_is_gone_and_by_whose_word(served, cli):
    served.service.answers["stop"] = {"count": 3, "leaf": 7, "unacked": 0, "reach": REACH}
    code, out, err = cli("agent", "stop", "x")
    assert code == 0
    assert "gone by the kernel's word: 1 cell, 1 command (57 processes)" in out
    assert "let go by their shared cell: 2" in out
    assert "cut at the proxy: 4 connections" in out
    assert "all of it 34 ms after the order" in out
    assert err == ""


@pytest.mark.parametrize("words", ["agent stop x", "swarm revoke x", "down"])
def test_what_an_order_did_not_reach_is_named_and_the_exit_code_says_no_answer(served, cli, words):
    late = REACH | {"unreached": 1, "late": ["command of \x1b[31mevil, pid 9"], "ms": 2001}
    for verb in ("stop", "revoke", "down"):
        served.service.answers[verb] = {"count": 3, "leaf": 7, "unacked": 1, "reach": late}
    code, _, err = cli(*words.split())
    assert code == 4
    assert "NOT REACHED: 1 still there after 2001 ms" in err
    assert "evil, pid 9" in err
    assert "\x1b" not in err, "an agent's name is untrusted"


@pytest.mark.parametrize(
    ("words", "method", "params"),
    [
        ("agent revoke x --reason odd", "revoke", {"target": AGENT, "reason": "odd"}),
        ("agent freeze x", "freeze", {"target": AGENT}),
        ("agent pause x", "pause", {"target": AGENT}),
        ("agent stop x", "stop", {"target": AGENT}),
        ("agent unfreeze x", "unfreeze", {"target": AGENT}),
        ("agent resume x", "resume", {"target": AGENT}),
        ("swarm stop all --reason drill", "stop", {"target": "all", "reason": "drill"}),
        ("swarm freeze x", "freeze", {"target": AGENT}),
        ("intent revoke x", "revoke", {"target": AGENT}),
        ("lease revoke x", "revoke", {"target": AGENT}),
        ("lease extend x --by 10m", "lease_extend", {"lease": AGENT, "by_ms": 600_000}),
        ("down", "down", {}),
    ],
)
def test_acts_name_their_target_in_full(served, cli, words, method, params):
    served.service.answers["lease_extend"] = {"id": AGENT, "expires_ms": served.clock.wall_ms() + 1000}
    code, out, _ = cli(*words.split(), "--json")
    assert code == 0
    assert served.service.called(method) == [params]
    json.loads(out)


def test_giving_is_signed_and_spent_and_taking_away_is_not(served, cli):
    assert cli("agent", "freeze", "x")[0] == 0
    assert served.gate.spent == set()
    assert cli("agent", "unfreeze", "x")[0] == 0
    assert len(served.gate.spent) == 1


def test_login_keeps_a_session_that_takes_away_without_the_key(served, cli, monkeypatch):
    assert cli("login")[0] == 0
    monkeypatch.setenv("QUEENRIGHT_KEY", "/nonexistent")
    assert cli("agent", "stop", "x")[0] == 0
    code, _, err = cli("agent", "unfreeze", "x")
    assert code == 1
    assert "there is no key at /nonexistent" in err
    assert cli("logout")[0] == 0
    assert cli("agent", "stop", "x")[0] == 1


def test_login_that_has_ended_gives_way_to_the_key(served, cli):
    assert cli("login")[0] == 0
    served.clock.advance(9 * 60 * 60 * 1000)
    code, _, err = cli("agent", "stop", "x")
    assert code == 0
    assert "the login has ended; using your key" in err
    assert "the login has ended" not in cli("agent", "stop", "x")[2]


def test_agent_text_never_reaches_the_terminal_raw(served, cli):
    served.service.answers["agents"] = {
        "rows": [row(), row(id="agent-" + "ef" * 32, parent=AGENT)],
        "next": None,
    }
    code, out, _ = cli("agent", "list")
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\u202e" not in out
    assert "NEEDS YOU" in out
    code, out, _ = cli("agent", "list", "--json")
    assert json.loads(out)[0]["name"] == EVIL
    assert "\x1b" not in out


def test_agents_are_listed_page_by_page_as_a_tree(served, cli):
    pages = {
        None: {"rows": [row(name="root")], "next": "1"},
        "1": {"rows": [row(id="agent-2", parent=AGENT, name="leaf")], "next": None},
    }
    served.service.answers["agents"] = lambda caller, after=None, **_: pages[after]
    _, out, _ = cli("agent", "list")
    lines = out.splitlines()
    assert lines[1].startswith("root ")
    assert lines[2].startswith("  leaf ")


def test_denial_ends_with_3_and_names_every_reason(served, cli):
    served.service.answers["can"] = {
        "agent": AGENT,
        "agent_name": "sre/w17",
        "verb": "svc.restart",
        "resource": "svc:x",
        "outcome": "deny",
        "dimensions": [
            {"name": "budget", "level": "intent", "detail": "2/2 used"},
            {"name": "time", "level": "grant", "detail": "ended"},
        ],
        "amendment": "raise max to 3",
    }
    code, out, err = cli("can", "sre/w17", "svc.restart", "svc:x")
    assert (code, err) == (3, "")
    assert "budget at intent: 2/2 used" in out
    assert "time at grant: ended" in out
    assert "would be allowed by: raise max to 3" in out
    served.service.answers["stop"] = Denied(
        "no",
        verb="v",
        resource="r",
        dimensions=(Dimension("scope", "grant", "not named"),),
        amendment="add it",
    )
    code, out, err = cli("agent", "stop", "x")
    assert (code, out) == (3, "")
    assert "queenright:   scope at grant: not named" in err
    assert "hint: would be allowed by: add it" in err


def test_refusal_is_on_stderr_with_its_hint_and_as_json_when_asked(served, cli):
    served.service.answers["ask_deny"] = Conflict("bo denied it 2 s ago", hint="look at it")
    code, out, err = cli("ask", "deny", "ask-1", "--reason", "no")
    assert (code, out) == (1, "")
    assert err == "queenright: bo denied it 2 s ago\nhint: look at it\n"
    code, out, err = cli("ask", "deny", "ask-1", "--reason", "no", "--json")
    assert (code, out) == (1, "")
    assert json.loads(err)["error"] == {
        "code": "conflict",
        "message": "bo denied it 2 s ago",
        "hint": "look at it",
    }


OWN_CELLS = {"alive": 2, "most": 8, "waiting": 0, "pool": 1, "refused": ""}


@pytest.mark.parametrize(
    ("health", "code"),
    [({}, 0), ({"locked": True}, 7), ({"ledger_ok": False}, 1), ({"stopped": True}, 1)],
)
def test_health_needs_no_key_and_tells_by_its_exit_code(served, cli, monkeypatch, health, code):
    monkeypatch.delenv("QUEENRIGHT_KEY")
    counts = {"agents": 3, "cells": 1, "asks_open": 0, "leases": 0, "uptime_ms": 1000, "version": "1"}
    counts |= {"own_cells": OWN_CELLS}
    served.service.answers["health"] = (
        {"locked": False, "ledger_ok": True, "stopped": False, "tier": "full", "memory": "hard"}
        | counts
        | health
    )
    assert cli("health")[0] == code
    assert json.loads(cli("health", "--json")[1])["agents"] == 3


@pytest.mark.parametrize(
    ("tier", "memory", "words"),
    [
        ("full", "hard", "isolation: full; memory: hard"),
        ("bwrap", "soft", "isolation: bwrap (bubblewrap makes the namespaces); memory: soft"),
        ("landlock-strict", "none", "isolation: DEGRADED, landlock-strict"),
    ],
)
def test_health_says_what_stands_around_agents_and_who_holds_their_memory(served, cli, tier, memory, words):
    health = {"locked": False, "ledger_ok": True, "stopped": False, "uptime_ms": 1000, "version": "1"}
    counts = {"agents": 3, "cells": 1, "asks_open": 0, "leases": 0, "own_cells": OWN_CELLS}
    served.service.answers["health"] = health | counts | {"tier": tier, "memory": memory}
    assert words in cli("health")[1]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "own cells: 2 of at most 8, 0 agents wait for one, 1 empty in the pool\n"),
        ({"alive": 8, "waiting": 41}, "own cells: 8 of at most 8, 41 agents wait for one"),
        ({"refused": "no more processes"}, "1 empty in the pool; REFUSED: no more processes\n"),
    ],
)
def test_health_says_how_many_have_a_cell_of_their_own_who_waits_and_why(served, cli, counts, words):
    health = {"locked": False, "ledger_ok": True, "stopped": False, "uptime_ms": 1000, "version": "1"}
    health |= {"agents": 3, "cells": 1, "asks_open": 0, "leases": 0, "tier": "full", "memory": "hard"}
    served.service.answers["health"] = health | {"own_cells": OWN_CELLS | counts}
    assert words in cli("health")[1]


def test_locked_supervisor_ends_with_7(served, cli):
    served.service.is_locked = True
    code, _, err = cli("secret", "list")
    assert code == 7
    assert "queenright unlock" in err


def test_secret_comes_from_stdin_and_never_shows(served, cli, monkeypatch):
    canary = "canary-7f3a"
    served.service.answers["secret_set"] = {"name": "shop-admin", "set_ms": 1, "resources": []}
    stdin = io.TextIOWrapper(io.BytesIO(canary.encode() + b"\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    code, out, err = cli("secret", "set", "shop-admin", "--json")
    assert code == 0
    assert canary not in out + err
    (called,) = served.service.called("secret_set")
    assert called["value"] == canary.encode()
    assert len(called["salt"]) == 32
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert cli("secret", "set", "shop-admin")[0] == 1


def test_log_is_followed_without_losing_or_repeating_a_line(served, cli, monkeypatch):
    def line(seq):
        return {"seq": seq, "at_ms": 1, "stream": "log", "text": f"line {seq}\x1b[2J"}

    def page(caller, agent, after=None, limit=None):
        if after is None:
            assert served.hub.wanted(f"log:{AGENT}")  # subscribed before the listing
            served.hub.publish(f"log:{AGENT}", line(2))  # falls between the listing and its answer
            served.hub.publish(f"log:{AGENT}", line(3))
            return {"lines": [line(1), line(2)], "next": 2, "dropped": 7}
        return {"lines": [], "next": after, "dropped": 0}

    def print_until_3(run, shown):
        show(run, shown)
        if shown["seq"] == 3:
            raise KeyboardInterrupt  # as a person ends it

    show = logs._print
    monkeypatch.setattr(logs, "_print", print_until_3)
    served.service.answers["agent_log"] = page
    code, out, err = cli("agent", "logs", "x", "-f")
    assert code == 1
    assert [text.split(" log ")[1] for text in out.splitlines()] == [f"line {n}␛[2J" for n in (1, 2, 3)]
    assert "7 older lines were dropped" in err


def test_undo_signs_the_digest_of_the_preview_it_showed(served, cli):
    from queenright.core import digest

    step = {
        "action": "act-1",
        "verb": "flag.set",
        "resource": "svc:x",
        "reversibility": "exact",
        "what": "set dark back to off",
        "diff": "-on\n+off",
        "conflict": "",
    }
    served.service.answers["undo_preview"] = {
        "target": AGENT,
        "steps": [step],
        "skipped": [],
        "bytes": b"preview",
    }
    served.service.answers["undo"] = {"target": AGENT, "done": ["act-1"], "failed": [], "leaf": 9}
    code, _, _ = cli("undo", "x", "--preview")
    assert code == 0
    assert served.service.called("undo") == []
    code, _, _ = cli("undo", "x")
    assert code == 3  # no terminal, no --yes
    assert served.service.called("undo") == []
    code, _, err = cli("undo", "x", "--yes")
    assert code == 0
    assert "set dark back to off" in err
    assert served.service.called("undo") == [{"target": AGENT, "preview": digest("undo", b"preview")}]
    served.service.answers["undo_preview"]["steps"][0]["conflict"] = "somebody changed it since"
    assert cli("undo", "x", "--yes")[0] == 1
    assert cli("undo")[0] == 2


def test_config_names_the_key_and_a_broken_config_is_named(served, cli, tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.mkdir()
    key = tmp_path / "ana"
    monkeypatch.delenv("QUEENRIGHT_KEY")
    (config / "config.toml").write_text(f'[operator]\nkey = "{key}"\n')
    assert cli("agent", "stop", "x")[0] == 0
    (config / "config.toml").write_text("[operator\n")
    code, _, err = cli("agent", "stop", "x")
    assert code == 1
    assert "config.toml cannot be read" in err
    (config / "config.toml").unlink()
    code, _, err = cli("agent", "stop", "x")
    assert code == 3
    assert "--key PATH" in err


def test_file_that_cannot_be_read_is_named_without_a_traceback(served, cli, tmp_path):
    login = served.path.parent / f"login-{os.geteuid()}"
    login.symlink_to("/etc/hostname")  # a login file is never followed elsewhere
    code, out, err = cli("agent", "list")
    assert (code, out) == (1, "")
    assert err.startswith(f"queenright: {login}: ")
    assert "Traceback" not in err


def test_key_of_a_stranger_is_denied_with_3(served, cli, tmp_path, kit):
    key = tmp_path / "eve"
    key.write_text(kit.signer(kit.eve).private.to_openssh(None, None))
    key.chmod(0o600)
    code, _, err = cli("agent", "list", "--key", str(key))
    assert code == 3
    assert "no operator has the key SHA256:" in err


def test_what_the_supervisor_refuses_is_said_in_its_words(served, cli):
    served.service.answers["resolve"] = Malformed("`a` means 2 things", hint="give more digits")
    assert cli("agent", "show", "a")[2] == "queenright: `a` means 2 things\nhint: give more digits\n"
    served.service.answers["resolve"] = NotEntitled("no\x1b[2J")
    assert "\x1b" not in cli("agent", "show", "a")[2]
