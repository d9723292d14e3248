"""Secrets in the state directory: sealed, versioned, never shown."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from queenright.broker.secret import Secret, Secrets
from queenright.broker.vault import _TABLE, Vault
from queenright.clock import ManualClock
from queenright.core import canonical, decode
from queenright.core.host import Refused
from queenright.errors import Locked, Malformed, StoreFailed, Unknown
from queenright.store import Store

KEY = bytes(range(32))
CANARY = b"canary-7f3e91c4a2"


def locked() -> bytes:
    raise Locked("no master key")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "state", None)


def vault(store: Store, key: Callable[[], bytes] = lambda: KEY) -> Vault:
    return Vault(store, key, ManualClock(wall_ms=5_000))


def test_a_secret_is_set_replaced_listed_and_removed(store: Store) -> None:
    keeper = vault(store)
    store.commit(keeper.set("shop-admin", CANARY))
    assert keeper.fetch("shop-admin").reveal() == CANARY
    store.commit(keeper.set("shop-admin", b"second-value"), keeper.set("other/one", b"third-value"))
    assert [(s.name, s.version, s.set_ms) for s in keeper.list()] == [
        ("other/one", 1, 5_000),
        ("shop-admin", 2, 5_000),
    ]
    assert (keeper.fetch("shop-admin").version, keeper.fetch("shop-admin").reveal()) == (2, b"second-value")
    store.commit(keeper.remove("shop-admin"))
    assert [s.name for s in keeper.list()] == ["other/one"]
    for gone in (keeper.fetch, keeper.remove):
        with pytest.raises(Unknown, match="shop-admin"):
            gone("shop-admin")
    store.commit(keeper.set("shop-admin", b"fourth-value"))
    assert keeper.fetch("shop-admin").version == 3


def test_two_people_setting_at_once_do_not_lose_one_silently(store: Store) -> None:
    keeper = vault(store)
    first, second = keeper.set("shop-admin", b"from-alice"), keeper.set("shop-admin", b"from-bobby")
    store.commit(first)
    with pytest.raises(Refused):
        store.commit(second)
    assert keeper.fetch("shop-admin").reveal() == b"from-alice"


def test_the_value_stands_nowhere_in_clear(store: Store, tmp_path: Path) -> None:
    keeper = vault(store)
    store.commit(keeper.set("shop-admin", CANARY))
    secret = keeper.fetch("shop-admin")
    assert CANARY.decode() not in repr(secret) + str(secret) + f"{secret}" + repr(keeper) + repr(
        keeper.list()
    )
    for copies in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copies(secret)
    shown = ""
    for act in (lambda: keeper.set("BAD NAME", CANARY), lambda: keeper.set("x", CANARY[:3])):
        try:
            act()
        except Malformed as error:
            shown += "".join(traceback.format_exception(error))
    assert shown
    assert CANARY.decode() not in shown
    store.close()
    assert not [p for p in (tmp_path / "state").iterdir() if CANARY in p.read_bytes()]


def test_without_the_key_names_are_listed_and_values_refused(store: Store) -> None:
    store.commit(vault(store).set("shop-admin", CANARY))
    closed = vault(store, locked)
    assert [s.name for s in closed.list()] == ["shop-admin"]
    with pytest.raises(Locked):
        closed.fetch("shop-admin")
    with pytest.raises(Locked):
        closed.set("shop-admin", CANARY)
    with pytest.raises(StoreFailed, match="another master key"):
        vault(store, lambda: bytes(32)).fetch("shop-admin")


def test_a_row_moved_to_another_name_or_version_does_not_open(store: Store) -> None:
    keeper = vault(store)
    store.commit(keeper.set("low", b"value-of-low"), keeper.set("high", b"value-of-high"))
    row = store._engine.get(_TABLE, b"high")
    assert row is not None
    store._engine.submit([("put", _TABLE, b"low", row)])
    with pytest.raises(StoreFailed, match="belongs to another"):
        keeper.fetch("low")
    store._engine.submit([("put", _TABLE, b"high", canonical(decode(row) | {"version": 9}))])
    with pytest.raises(StoreFailed, match="belongs to another"):
        keeper.fetch("high")


def test_references_name_a_scheme_that_exists(store: Store) -> None:
    keeper = vault(store)
    store.commit(keeper.set("shop-admin", CANARY))
    secrets = Secrets({"vault": keeper})
    assert isinstance(secrets.fetch("vault:shop-admin"), Secret)
    for bad in ("shop-admin", "op:shop-admin", "vault:absent", ""):
        with pytest.raises(Unknown):
            secrets.fetch(bad)
