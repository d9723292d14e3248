"""Sessions of the shop's database: listed, told apart by their start, closed for good."""

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from queenright.demo.shop import database
from queenright.demo.shop.database import Database
from queenright.demo.shop.service import Request
from queenright.demo.shop.telemetry import Log, Metrics


@pytest.fixture
def shop(tmp_path: Path) -> Database:
    database.create(tmp_path / "shop.db", 20_000)
    return Database(tmp_path / "shop.db", "w9", Log(tmp_path / "log", "w9"), Metrics())


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def request(client: socket.socket) -> Request:
    return cast(Request, SimpleNamespace(holder="GET /test", client=client))


def test_a_session_is_listed_while_it_is_open(shop: Database, link: Any) -> None:
    with shop.session(request(link[0])) as session:
        session.run("SELECT 1")
        (row,) = [s.row() for s in shop.sessions()]
        assert row["id"] == "w9-1"
        assert row["holder"] == "GET /test"
        assert row["query"] == "SELECT 1"
        assert row["state"] == "idle"
    assert shop.sessions() == []


def test_an_open_write_transaction_keeps_other_writers_out(shop: Database, link: Any) -> None:
    with shop.session(request(link[0])) as one, one.write(), shop.session(request(link[0])) as two:
        assert one.row()["state"] == "idle in transaction"
        with pytest.raises(sqlite3.OperationalError, match="locked"), two.write():
            pass
    assert "shop_db_write_timeouts_total 1" in shop.metrics.render()


def test_killing_a_session_rolls_its_transaction_back_and_lets_writers_in(shop: Database, link: Any) -> None:
    ours, _theirs = link
    begun = threading.Event()
    ended: list[str] = []

    def hold() -> None:
        with suppress(ConnectionError), shop.session(request(ours)) as session, session.write():
            session.run("UPDATE products SET stock = 7")
            begun.set()
            if not ours.recv(1):  # what a route does: wait for its client
                ended.append(session.id)
                raise ConnectionError

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    (stuck,) = shop.sessions()
    assert shop.kill("w9-999", stuck.started) == 404
    assert shop.kill(stuck.id, stuck.started + 1) == 409
    assert shop.sessions() == [stuck]
    assert shop.kill(stuck.id, stuck.started) == 200
    thread.join(10)
    assert ended == [stuck.id]
    with shop.session(request(ours)) as session, session.write():
        assert session.run("SELECT count(*) FROM products WHERE stock = 7")[0][0] == 0


def test_a_read_without_its_index_shows_in_the_work_it_takes(shop: Database, link: Any) -> None:
    sql = "SELECT id FROM orders WHERE customer = ? ORDER BY placed DESC LIMIT 10"
    with shop.session(request(link[0])) as session:
        for _ in range(50):
            session.run(sql, 7)
        assert "shop_db_steps_total" not in shop.metrics.render()
        session.run(database.drop_index(database.INDEX[0]))
        session.run(sql, 7)
        assert "shop_db_steps_total" in shop.metrics.render()
        session.run(database.create_index(*database.INDEX))


@pytest.mark.parametrize("name", ["", "a b", "x; DROP TABLE orders", "ä", "1a"])
def test_index_names_are_names_and_nothing_else(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        database.create_index(name, "orders", ("customer",))
    with pytest.raises(ValueError, match="not a name"):
        database.create_index("i", "orders", ("customer", name))
    with pytest.raises(ValueError, match="not a name"):
        database.drop_index(name)
