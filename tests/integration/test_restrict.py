"""What the supervisor does to itself holds, as root and as an ordinary user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from people import Person, person

pytestmark = pytest.mark.isolation

SUPPORT = Path(__file__).parents[1] / "support"
SCRIPT = SUPPORT / "restrict_checks.py"


@pytest.fixture(params=["self", pytest.param("user", marks=pytest.mark.root)])
def someone(request: pytest.FixtureRequest) -> Iterator[Person]:
    with person(request.param, SUPPORT) as who:
        yield who


@pytest.mark.parametrize(
    "promise",
    [
        "only_the_named_paths_stay_in_reach",
        "a_second_thread_is_refused",
        "a_path_that_cannot_be_opened_is_refused_and_nothing_is_restricted",
        "a_hardened_process_cannot_be_looked_into",
    ],
)
def test_a_process_that_restricts_itself(someone: Person, promise: str) -> None:
    someone.passes(SCRIPT, promise)
