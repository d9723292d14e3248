"""The demo's documents are what an operator would write: parsed strictly, and no wider than they say."""

from pathlib import Path

from queenright.authority.intent_toml import parse_intent
from queenright.demo.shop.deploy import Shop
from queenright.demo.sre.hypotheses import Runbook
from queenright.demo.texts import MAX_AGENTS, intent_text, resources_text

SHOP = Shop(Path("/nowhere/shop"), {"edge": 20001, "w1": 20002, "w2": 20003})


def test_the_intent_parses_and_asks_only_for_what_cannot_be_undone() -> None:
    draft = parse_intent(intent_text("5m"))
    assert draft.limits.max_agents == MAX_AGENTS
    asks = [clause for clause in draft.clauses if clause.approval]
    assert [clause.rule.verbs for clause in asks] == [("db.session.kill",)]
    assert asks[0].approval is not None
    assert asks[0].approval.answer_ms == 300_000
    acting = [
        clause for clause in draft.clauses if not clause.approval and "metrics.read" not in clause.rule.verbs
    ]
    assert all(clause.rule.max == 2 for clause in acting)
    assert [never.verbs for never in draft.never] == [("secret.reveal",)]


def test_the_intents_arguments_are_a_runbook_of_resources_that_are_mapped() -> None:
    import tomllib

    book = Runbook.of(parse_intent(intent_text("5m")).args)
    mapped = {
        f"{kind}:{name}" for kind, things in tomllib.loads(resources_text(SHOP)).items() for name in things
    }
    assert {*book.targets, book.release, book.database} == mapped


def test_no_secret_is_in_the_resources() -> None:
    text = resources_text(SHOP)
    assert "vault:shop-admin" in text
    assert "token" not in text
