from restarter import Restart, Restarter

from queenright.testing import Harness

WEB, DB = "svc:shop/web", "svc:shop/db"


def test_what_the_intent_allows_is_done(harness: Harness) -> None:
    harness.on("svc.restart", WEB, {"pid": 42})
    agent = harness.start(Restarter)
    harness.send(agent, Restart(WEB))
    assert harness.state(agent).restarted == 1


def test_a_second_restart_waits_out_the_gap(harness: Harness) -> None:
    harness.on("svc.restart", WEB)
    agent = harness.start(Restarter)
    harness.send(agent, Restart(WEB))
    harness.send(agent, Restart(WEB))
    assert harness.state(agent).restarted == 1
    assert "gap" in harness.state(agent).refused
    harness.advance(300)
    assert harness.state(agent).restarted == 2


def test_what_no_rule_names_is_refused(harness: Harness) -> None:
    agent = harness.start(Restarter)
    harness.send(agent, Restart("svc:shop/payments"))
    assert "scope" in harness.state(agent).refused


def test_a_person_decides_about_the_database(harness: Harness) -> None:
    harness.on("svc.restart", DB)
    agent = harness.start(Restarter)
    harness.send(agent, Restart(DB))
    [ask] = harness.asks
    assert harness.state(agent).restarted == 0
    ask.deny("not during the sale")
    assert harness.state(agent).refused == "not during the sale"
