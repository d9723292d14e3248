"""`up --degraded landlock`: refused without the word; with it agents work, and the ledger and every status say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from people import person

SUPPORT = Path(__file__).parents[1] / "support"
NEEDED = ("nacl", "cffi", "_cffi_backend", "platformdirs")

pytestmark = pytest.mark.isolation


def test_without_namespaces_a_supervisor_starts_only_by_an_operators_word_and_says_so() -> None:
    with person("user" if os.geteuid() == 0 else "self", SUPPORT, NEEDED) as who:
        prefix = (who.python, who.path(SUPPORT / "no_namespaces.py"), "all")
        who.passes(SUPPORT / "degraded_up.py", prefix=prefix)
