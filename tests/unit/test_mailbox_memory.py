"""Mailboxes: what is empty takes no memory, and a key that was used never comes again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from queenright.store import Store
from queenright.supervisor.mail import Mail
from queenright.supervisor.post import runtime_mail

ONE, TWO = b"1" * 32, b"2" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store.open(tmp_path, b"k" * 32)
    yield found
    found.close()


def put(store: Store, mail: Mail, agent: bytes, *, reserved: bool = False) -> bytes:
    change = mail.put(agent, runtime_mail("t", {}), 1, reserved=reserved)
    store.commit(change)
    key: bytes = change.records[0][2]
    return key


def test_looking_at_a_mailbox_makes_none_and_an_emptied_one_is_let_go(store: Store) -> None:
    mail = Mail(store)
    assert (mail.count(ONE), list(mail.heads(ONE)), mail.has_room(ONE, 10), mail.fullest()) == (
        0,
        [],
        True,
        0,
    )
    assert mail._boxes == {}
    first, second = put(store, mail, ONE), put(store, mail, TWO)
    assert (sorted(mail.waiting()), mail.fullest()) == ([ONE, TWO], 1)
    store.commit(mail.take(ONE, first))
    store.commit(mail.bury(TWO, second, "why", 1))
    assert mail._boxes == {}


def test_reserved_mail_stands_first_and_all_else_in_its_order(store: Store) -> None:
    mail = Mail(store)
    keys = [put(store, mail, ONE, reserved=reserved) for reserved in (False, True, False, True)]
    wanted = [keys[1], keys[3], keys[0], keys[2]]
    assert [head.key for head in mail.heads(ONE)] == wanted
    again = Mail(store)
    again.load()
    assert [head.key for head in again.heads(ONE)] == wanted


def test_no_key_comes_again_after_mail_was_taken_buried_or_the_supervisor_restarted(store: Store) -> None:
    mail = Mail(store)
    seen = {put(store, mail, ONE)}
    store.commit(mail.bury(ONE, next(iter(seen)), "why", 1))
    for _ in range(3):
        mail = Mail(store)
        mail.load()
        key = put(store, mail, ONE)
        assert key not in seen
        seen.add(key)
        store.commit(mail.bury(ONE, key, "why", 1))


def test_mail_that_the_store_refused_takes_no_room(store: Store) -> None:
    mail = Mail(store)
    mail.put(ONE, runtime_mail("t", {}), 1)
    assert mail.box(ONE).pending == 1
    mail.forget_pending()
    assert mail._boxes == {}
