"""Testing agents without a supervisor: the cell's own code, a real intent's grants, and time, results and verdicts by hand.

    def test_it_greets(harness):
        agent = harness.start(Hello)
        assert harness.call(agent, Greet("ada")) == Greeting("hello ada")

Stands outside the rooms: it may import `agent`, `cell`, `authority` and `store`, and nothing of the product imports it.
What passes here has been through the same grant check, state encoding and frames as in a real cell; the behaviour object is
thrown away after every durable turn. What it does not have: a sandbox, a ledger, real resources.
"""

from queenright.testing.asks import OpenAsk
from queenright.testing.harness import Act, Harness, NoResult
from queenright.testing.package import run_behaviour_tests

__all__ = ["Act", "Harness", "NoResult", "OpenAsk", "run_behaviour_tests"]
