"""Documents that people sign: what is shown is drawn from the bytes, what is signed is exactly that, by the right rules."""

from __future__ import annotations

import json

import pytest

from queenright.actions.resources import NAMESPACE, ResourceMap
from queenright.actions.resources_toml import compile_resources
from queenright.authority.document import INTENT
from queenright.authority.intent import Intent
from queenright.authority.operators import EVERYTHING
from queenright.core import verify_sshsig
from queenright.errors import Malformed

PACKAGE = b"d" * 32
RESOURCES = """\
[svc."shop/web"]
metrics = "http://127.0.0.1:8080/metrics"
"""


@pytest.fixture
def signed(served, kit):
    """The supervisor's documents: packages, operators, resources; what is set replaces them."""
    answers = served.service.answers
    answers["behaviours"] = [
        {"name": "sre", "digest": b"o" * 32},
        {"name": "sre", "digest": PACKAGE},
    ]
    state = {"operators": served.gate.document, "resources": b""}

    def operators(caller):
        return {
            "document": state["operators"].encode(),
            "signature": "",
            "digest": b"",
            "version": state["operators"].version,
        }

    def operators_set(caller, document, signature):
        state["operators"] = state["operators"].succeed(document, signature)
        return operators(caller)

    def resources(caller):
        return {"document": state["resources"], "signature": "", "digest": b"x" * 32, "signer": "ana"}

    def resources_set(caller, document, signature):
        verify_sshsig(kit.signer(kit.ana).key.line, NAMESPACE, document, signature)
        state["resources"] = document
        return resources(caller)

    def apply(caller, document, signature):
        verify_sshsig(kit.signer(kit.ana).key.line, INTENT, document, signature)
        state["intent"] = Intent.decode(document)
        row = {
            "id": f"intent-{state['intent'].id.hex()}",
            "revision": state["intent"].revision,
            "swarm": "sre",
        }
        return row | {"state": "live", "not_after_ms": state["intent"].not_after}

    answers |= {"operators": operators, "operators_set": operators_set, "resources": resources}
    answers |= {"resources_set": resources_set, "intent_apply": apply, "intent_amend": apply}
    return state


# --- intents ---


def test_intent_is_signed_over_the_bytes_that_were_explained(signed, served, cli, tmp_path):
    file = tmp_path / "sre.toml"
    assert cli("intent", "new", str(file))[0] == 0
    assert cli("intent", "new", str(file))[0] == 1  # never over a file that is there
    code, _, err = cli("intent", "sign", str(file), "--yes")
    assert code == 0
    assert "svc.restart on svc:shop/web: 2 times in all" in err
    assert PACKAGE.hex()[:16] in err  # the newest of the name is what is pinned
    assert served.service.called("intent_apply") == []
    code, out, _ = cli("intent", "apply", str(tmp_path / "sre.signed"), "--json")
    assert code == 0
    intent = signed["intent"]
    assert json.loads(out)["id"] == f"intent-{intent.id.hex()}"
    assert intent.packages == {"sre": PACKAGE}
    assert intent.signed_at == served.clock.wall_ms()


def test_nothing_is_signed_without_a_yes(signed, served, cli, tmp_path):
    file = tmp_path / "sre.toml"
    cli("intent", "new", str(file))
    code, _, err = cli("intent", "apply", str(file))
    assert code == 3
    assert "--yes" in err
    assert "intent" not in signed


def test_intent_problems_are_told_with_line_and_column(cli, tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text('[intent]\npurpose = "x"\nswarm = "Not A Name"\nfor = "2 parsecs"\n')
    code, out, _ = cli("intent", "check", str(file))
    assert code == 1
    assert f"{file}:3:" in out
    assert f"{file}:4:" in out
    problems = json.loads(cli("intent", "check", str(file), "--json")[1])["problems"]
    assert {problem["line"] for problem in problems} >= {3, 4}
    err = cli("intent", "explain", str(file))[2]
    assert [line.split(":")[0] for line in err.splitlines()[:2]] == ["queenright", "queenright"]
    file.write_bytes(b"\xff\xfe")
    assert cli("intent", "check", str(file))[0] == 1
    assert cli("intent", "check", str(tmp_path / "none"))[0] == 1


def test_ask_that_nobody_could_answer_is_a_problem_of_the_intent(served, cli, tmp_path, kit):
    file = tmp_path / "sre.toml"
    cli("intent", "new", str(file))
    file.write_text(
        file.read_text().replace('answer_within = "10m"', 'answer_within = "10m"\napprovers = "@nobody"')
    )
    code, _, err = cli("intent", "check", str(file))
    assert code == 0
    assert "was not checked" in err  # no operators document here
    documents = served.path.parent.parent / "documents"
    documents.mkdir()
    (documents / "operators").write_bytes(served.gate.document.encode())
    code, out, _ = cli("intent", "check", str(file))
    assert code == 1
    assert "0 could answer" in out


def test_amendment_names_the_revision_before_it(signed, served, cli, tmp_path):
    file = tmp_path / "sre.toml"
    cli("intent", "new", str(file))
    assert cli("intent", "apply", str(file), "--yes")[0] == 0
    first = signed["intent"]
    served.service.answers["intent"] = {"document": first.encode(), "row": {}, "budgets": []}
    assert cli("intent", "apply", str(file), "--yes", "--amends", "sre")[0] == 0
    assert served.service.called("intent_amend")
    assert (signed["intent"].id, signed["intent"].revision) == (first.id, 2)
    assert signed["intent"].amends.previous == first.digest


def test_difference_between_a_file_and_what_is_applied_is_told_in_words(signed, served, cli, tmp_path):
    file = tmp_path / "sre.toml"
    cli("intent", "new", str(file))
    cli("intent", "apply", str(file), "--yes")
    served.service.answers["intent"] = {"document": signed["intent"].encode()}
    file.write_text(file.read_text().replace("max = 2", "max = 3"))
    out = cli("intent", "diff", str(file), "sre")[1]
    assert any(line.startswith("- ") and "2 times in all" in line for line in out.splitlines())
    assert any(line.startswith("+ ") and "3 times in all" in line for line in out.splitlines())


@pytest.mark.parametrize(
    "broken", ["", "{}", '{"v": 1, "kind": "verdict", "document": "", "signature": ""}', "[]"]
)
def test_file_that_is_no_signed_intent_is_refused(signed, served, cli, tmp_path, broken):
    (tmp_path / "x.signed").write_text(broken)
    assert cli("intent", "apply", str(tmp_path / "x.signed"))[0] == 1
    assert served.service.called("intent_apply") == []


def test_package_that_is_not_installed_is_named(signed, cli, tmp_path):
    file = tmp_path / "x.toml"
    cli("intent", "new", str(file), "--package", "other")
    code, _, err = cli("intent", "apply", str(file), "--yes")
    assert code == 1
    assert "no such package: other" in err


# --- operators ---


def public(kit, tmp_path, number):
    path = tmp_path / f"{number}.pub"
    path.write_text(kit.signer(number).private.public_line + "\n")
    return str(path)


def test_operator_is_enrolled_with_exactly_the_rights_that_are_given(signed, kit, cli, tmp_path):
    key = public(kit, tmp_path, 7)
    rights = ("--approvals", "db.*,svc.restart on svc:shop/**", "--group", "oncall")
    code, _, err = cli("operator", "add", "carol", "--key-file", key, *rights, "--yes")
    assert code == 0, err
    assert "+ carol @oncall" in err
    carol = signed["operators"].person("carol")
    assert (carol.intents, carol.undo, carol.groups) == ((), (), ("oncall",))
    assert carol.may("approvals", "db.session.kill", "svc:shop/web")
    assert not carol.may("approvals", "db.session.kill", "db:other")
    assert signed["operators"].version == 2
    assert cli("operator", "add", "carol", "--key-file", key, "--yes")[0] == 1
    people = json.loads(cli("operator", "list", "--json")[1])["people"]
    assert {person["name"] for person in people} == {"ana", "bo", "carol"}


def test_rights_like_somebody_elses_are_shown_all_the_same(signed, kit, cli, tmp_path):
    key = public(kit, tmp_path, 7)
    code, _, err = cli("operator", "add", "carol", "--key-file", key, "--everything", "--owner", "--yes")
    assert code == 0, err
    for power in ("intents", "approvals", "undo"):
        assert f"+ carol: may sign {power}: * on **" in err
    assert "(owner)" in err
    assert "\n  bo\n" in err  # the whole document is shown, not the difference alone


def test_key_is_rotated_and_the_old_one_is_gone(signed, kit, cli, tmp_path):
    before = signed["operators"].person("ana")
    code, _, err = cli("operator", "rotate", "ana", "--key-file", public(kit, tmp_path, 7), "--yes")
    assert code == 0, err
    after = signed["operators"].person("ana")
    assert after.keys == (kit.signer(7).key.line,)
    assert (after.intents, after.approvals) == (before.intents, before.approvals) == (EVERYTHING, EVERYTHING)
    assert signed["operators"].owners == after.keys
    assert "void their unspent verdicts" in err


def test_last_owner_cannot_be_removed_and_others_can(signed, kit, cli):
    code, _, err = cli("operator", "remove", "ana", "--yes")
    assert code == 1
    assert "last owner's key" in err
    assert cli("operator", "remove", "bo", "--yes")[0] == 0
    assert [person.name for person in signed["operators"].people] == ["ana"]
    assert cli("operator", "remove", "bo", "--yes")[0] == 1


def test_key_that_cannot_be_enrolled_is_named_with_the_line_that_makes_one(signed, cli, tmp_path):
    (tmp_path / "rsa.pub").write_text("ssh-rsa AAAAB3NzaC1yc2E= old")
    code, _, err = cli("operator", "add", "carol", "--key-file", str(tmp_path / "rsa.pub"), "--yes")
    assert code == 1
    assert "type ssh-rsa cannot be enrolled" in err
    assert "ssh-keygen -t ed25519" in err
    assert (
        cli("operator", "add", "x", "--key-file", str(tmp_path / "none"), "--approvals", "nonsense", "--yes")[
            0
        ]
        == 1
    )


# --- resources ---


def test_resources_are_shown_as_a_difference_and_signed(signed, cli, tmp_path):
    file = tmp_path / "resources.toml"
    file.write_text(RESOURCES)
    code, _, err = cli("resource", "add", str(file), "--yes")
    assert code == 0, err
    assert "+ svc:shop/web" in err
    assert [item.id for item in ResourceMap.decode(signed["resources"])] == ["svc:shop/web"]
    file.write_text(RESOURCES.replace("shop/web", "shop/api"))
    assert cli("resource", "add", str(file), "--yes")[0] == 0
    assert [item.id for item in ResourceMap.decode(signed["resources"])] == ["svc:shop/api", "svc:shop/web"]
    code, _, err = cli("resource", "set", str(file), "--yes")
    assert code == 0
    assert "- svc:shop/web" in err
    assert signed["resources"] == compile_resources(file.read_text()).encode()
    assert "nothing to change" in cli("resource", "set", str(file), "--yes")[1]
    assert "svc:shop/api" in cli("resource", "list")[1]
    assert "metrics" in cli("resource", "show", "svc:shop/api")[1]
    assert cli("resource", "show", "svc:none")[0] == 1


def test_resources_file_is_checked_without_a_supervisor(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("QUEENRIGHT_STATE", str(tmp_path / "none"))
    file = tmp_path / "resources.toml"
    file.write_text(RESOURCES.replace("metrics", "metricks"))
    code, out, _ = cli("resource", "check", str(file))
    assert code == 1
    assert f"{file}:2:" in out
    file.write_text(RESOURCES)
    assert cli("resource", "check", str(file))[0] == 0


def test_supervisors_broken_document_is_refused_and_not_edited(signed, served, cli, tmp_path, kit):
    served.service.answers["operators"] = {"document": b"\xc1", "signature": "", "digest": b"", "version": 1}
    code, _, _ = cli("operator", "add", "carol", "--key-file", public(kit, tmp_path, 7), "--yes")
    assert code == 1
    assert served.service.called("operators_set") == []
    with pytest.raises(Malformed):
        Intent.decode(b"\xc1")
