"""Who waits for a cell of their own is served first come first served within an intent, and intents in turn."""

from __future__ import annotations

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from queenright.supervisor.wakes import Wakes

INTENTS = [bytes([n]) * 32 for n in range(4)]
AGENTS = st.integers(0, 40)


def intent_of(agent: int) -> bytes:
    return INTENTS[agent % len(INTENTS)]


def id_of(agent: int) -> bytes:
    return agent.to_bytes(32, "big")


STEPS = st.lists(st.tuples(st.sampled_from(["add", "again", "discard", "next"]), AGENTS), max_size=120)


@given(STEPS)
def test_the_queue_is_one_line_an_intent_served_in_turn(steps: list[tuple[str, int]]) -> None:
    """Against a model of plain lists: nobody is lost, doubled, or overtaken."""
    wakes, lines, turn = Wakes(), {intent: deque[int]() for intent in INTENTS}, deque[bytes]()
    for what, agent in steps:
        line = lines[intent_of(agent)]
        match what:
            case "add" | "again":
                if agent not in line:
                    if not line:
                        turn.append(intent_of(agent))
                    line.append(agent)
                if what == "again":
                    line.remove(agent)
                    line.appendleft(agent)
                getattr(wakes, what)(intent_of(agent), id_of(agent))
            case "discard":
                if agent in line:
                    line.remove(agent)
                    if not line:
                        turn.remove(intent_of(agent))
                wakes.discard(id_of(agent))
            case "next":
                expected = None
                if turn:
                    first = turn.popleft()
                    expected = id_of(lines[first].popleft())
                    if lines[first]:
                        turn.append(first)
                assert wakes.next() == expected
        assert len(wakes) == sum(map(len, lines.values()))


@given(st.lists(st.integers(1, 60), min_size=2, max_size=4))
def test_a_flooding_intent_costs_another_one_place_a_round(waiting: list[int]) -> None:
    """While all of them wait, no intent is ever served twice more than another."""
    wakes = Wakes()
    for number, many in enumerate(waiting):
        for agent in range(many):
            wakes.add(INTENTS[number], INTENTS[number][:1] * 31 + bytes([agent]))
    served: Counter[bytes] = Counter()
    for _ in range(min(waiting) * len(waiting)):
        agent = wakes.next()
        assert agent is not None
        served[agent[:1]] += 1
        assert max(served.values()) - min(served[intent[:1]] for intent in INTENTS[: len(waiting)]) <= 1
