"""The launcher's promises, kept for whoever runs this and, from root, for an ordinary user as well.

Nothing is skipped because the machine lacks it: a refused sandbox fails here with its step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from launcher_checks import (
    BWRAP_CHECKS,
    CHECKS,
    LIMIT_CHECKS,
    MANY_CHECKS,
    OVERLAY_CHECKS,
    ROOT_CHECKS,
    STRICT_CHECKS,
)
from people import Person, person

SUPPORT = Path(__file__).parents[1] / "support"

pytestmark = pytest.mark.isolation

SCRIPT = SUPPORT / "launcher_checks.py"
NO_NAMESPACES = SUPPORT / "no_namespaces.py"
FORBIDDEN = "forbidden_user_namespaces_are_named"


@pytest.fixture(params=["self", pytest.param("user", marks=pytest.mark.root)])
def someone(request: pytest.FixtureRequest) -> Iterator[Person]:
    with person(request.param, SUPPORT) as who:
        yield who


@pytest.fixture
def ordinary() -> Iterator[Person]:
    """Who makes no sandboxes as root: without our own namespaces agents would be root."""
    with person("user" if os.geteuid() == 0 else "self", SUPPORT) as who:
        yield who


@pytest.mark.parametrize("promise", [name for name in CHECKS if name != FORBIDDEN])
def test_the_launcher_promises_that(someone: Person, promise: str) -> None:
    someone.passes(SCRIPT, promise)


@pytest.mark.parametrize("promise", list(OVERLAY_CHECKS))
def test_with_an_overlay_the_launcher_promises_that(someone: Person, promise: str) -> None:
    someone.passes(SCRIPT, promise)


@pytest.mark.parametrize("promise", [name for name in CHECKS if name != FORBIDDEN])
def test_over_bubblewraps_namespaces_the_launcher_promises_the_same_that(
    ordinary: Person, promise: str
) -> None:
    """Its own clone is refused here, and it comes to bubblewrap by itself."""
    ordinary.passes(SCRIPT, promise, prefix=without_namespaces(ordinary, "clone3"))


@pytest.mark.parametrize("promise", list(LIMIT_CHECKS))
def test_a_sandbox_that_takes_hurts_no_neighbour(someone: Person, promise: str) -> None:
    print(someone.passes(SCRIPT, promise))


@pytest.mark.parametrize("promise", list(MANY_CHECKS))
def test_of_many_sandboxes_that(someone: Person, promise: str) -> None:
    # A thousand once: what is added for another user, and over bubblewrap, is who makes them and not how many.
    print(someone.passes(SCRIPT, promise, "1000" if someone.name == "self" else "100"))


@pytest.mark.parametrize("promise", list(MANY_CHECKS))
def test_of_many_sandboxes_over_bubblewraps_namespaces_that(ordinary: Person, promise: str) -> None:
    print(ordinary.passes(SCRIPT, promise, "100", prefix=without_namespaces(ordinary, "clone3")))


@pytest.mark.parametrize("promise", list(BWRAP_CHECKS))
def test_over_bubblewraps_namespaces_it_also_promises_that(ordinary: Person, promise: str) -> None:
    ordinary.passes(SCRIPT, promise, prefix=without_namespaces(ordinary, "clone3"))


@pytest.mark.parametrize("promise", list(STRICT_CHECKS))
def test_without_namespaces_the_launcher_promises_that(ordinary: Person, promise: str) -> None:
    ordinary.passes(SCRIPT, promise, prefix=without_namespaces(ordinary, "all"))


def without_namespaces(who: Person, refused: str) -> tuple[str, ...]:
    return (who.python, who.path(NO_NAMESPACES), refused)


def test_forbidden_user_namespaces_are_refused_by_name(someone: Person) -> None:
    """In a user namespace that allows none below it, as on a machine whose administrator forbids them."""
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    prefix = (
        "unshare",
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--keep-caps",
        "sh",
        "-c",
        forbid,
        "sh",
    )
    someone.passes(SCRIPT, FORBIDDEN, prefix=prefix)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="what only root can do")
@pytest.mark.parametrize("promise", list(ROOT_CHECKS))
def test_as_root_the_launcher_promises_that(promise: str) -> None:
    with person("self", SUPPORT) as who:
        who.passes(SCRIPT, promise)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="what only root can do")
@pytest.mark.parametrize("promise", ["root_goes_nowhere_without_namespaces_of_its_own"])
def test_as_root_without_namespaces_the_launcher_promises_that(promise: str) -> None:
    with person("self", SUPPORT) as who:
        who.passes(SCRIPT, promise, prefix=without_namespaces(who, "clone3"))
