from hello import Greet, Greeting, Hello

from queenright.testing import Harness


def test_everybody_is_greeted_and_counted(harness: Harness) -> None:
    agent = harness.start(Hello)
    assert harness.call(agent, Greet("ada")) == Greeting("hello ada, you are number 1")
    assert harness.call(agent, Greet("grace")) == Greeting("hello grace, you are number 2")


def test_the_count_survives_a_crash(harness: Harness) -> None:
    agent = harness.start(Hello)
    harness.call(agent, Greet("ada"))
    harness.crash()
    harness.call(agent, Greet("grace"))
    assert harness.state(agent).greeted == 2
