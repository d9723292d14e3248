"""Every fault of the demo's shop really hurts, by measurement, and its plain remedy really heals it."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queenright.demo.shop import deploy
from queenright.demo.shop.database import INDEX

DEADLINE = 20.0  # seconds for anything the shop does in one or two


class Running:
    """A shop under load, and what its customers see."""

    def __init__(self, root: Path) -> None:
        self.shop = deploy.deploy(root)
        self.processes = {name: deploy.start(self.shop, name) for name in ("w1", "w2", "edge")}
        self.numbers = root / "log" / "load.jsonl"
        out = ("--rate", "30", "--seconds", "400", "--out", str(self.numbers))
        port = ("--port", str(self.shop.ports["edge"]))
        self.load = subprocess.Popen(self.shop.command("load", *port, *out))

    def inject(self, fault: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.shop.command("inject", fault, "--root", str(self.shop.root)), stdout=subprocess.PIPE
        )
        assert process.stdout
        assert json.loads(process.stdout.readline())["fault"] == fault
        if fault not in ("stuck-sessions", "false-alarm"):
            assert process.wait(DEADLINE) == 0
        return process

    def seconds(self) -> list[dict[str, Any]]:
        text = self.numbers.read_text() if self.numbers.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def wait(self, count: int, what: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Wait for `count` seconds in a row, all measured from now on, that are as `what` says."""
        first = len(self.seconds()) + 1
        limit = time.monotonic() + DEADLINE
        while time.monotonic() < limit:
            new = self.seconds()[first:]
            if len(new) >= count and all(map(what, new[-count:])):
                return new[-count:]
            time.sleep(0.1)
        raise AssertionError(f"not seen within {DEADLINE} s; the last seconds were {self.seconds()[-4:]}")

    def admin(self, process: str, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        asked = urllib.request.Request(self.shop.url(process, "/admin/" + path), method=method)
        asked.add_header("Authorization", f"Bearer {self.shop.token if token is None else token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(asked, data, timeout=DEADLINE) as answer:
            return json.loads(answer.read())

    def page(self, process: str) -> str:
        with urllib.request.urlopen(self.shop.url(process, "/metrics"), timeout=DEADLINE) as answer:
            text: str = answer.read().decode()
            return text

    def metrics(self, process: str) -> dict[str, float]:
        lines = self.page(process).splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def log(self, process: str, event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.shop.log(process).read_text().splitlines())
        return [line for line in lines if line["event"] == event]

    def restart(self, process: str) -> None:
        self.processes[process] = deploy.start(self.shop, process)

    def close(self) -> None:
        for process in (self.load, *self.processes.values()):
            process.kill()
            process.wait()


def healthy(second: dict[str, Any]) -> bool:
    return bool(second["sent"] > 20 and second["bad"] == 0 and second["orders"]["p50_ms"] < 12)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("demo") / "shop")
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def well(shop: Running) -> None:
    shop.wait(2, healthy)


@pytest.mark.usefixtures("well")
def test_bad_release_fails_a_share_of_checkouts_until_rolled_back(shop: Running) -> None:
    shop.inject("bad-release")
    hurt = shop.wait(2, lambda s: s["checkout"]["bad"] > 0)
    assert all(s["orders"]["bad"] == 0 for s in hurt)
    assert sum(s["bad"] for s in hurt) < sum(s["sent"] for s in hurt) / 2
    assert {line["release"] for line in shop.log("w1", "exception")} == {"v2"}
    link = shop.shop.root / "current.new"
    link.symlink_to("releases/v1")
    link.replace(shop.shop.root / "current")
    shop.wait(2, healthy)
    assert shop.metrics("w1")['shop_build_info{release="v1"}'] == 1


@pytest.mark.usefixtures("well")
def test_dead_worker_loses_customers_until_started(shop: Running) -> None:
    shop.inject("dead-worker")
    assert shop.processes["w2"].wait(DEADLINE) == -signal.SIGKILL
    hurt = shop.wait(2, lambda s: s["bad"] > 0)
    assert all(s["statuses"].get("502") for s in hurt)
    with pytest.raises(urllib.error.URLError):
        shop.metrics("w2")
    shop.restart("w2")
    shop.wait(2, healthy)


@pytest.mark.usefixtures("well")
def test_stuck_session_stops_every_write_until_it_is_killed(shop: Running) -> None:
    injector = shop.inject("stuck-sessions")
    shop.wait(2, lambda s: s["checkout"]["sent"] > 0 and s["checkout"]["bad"] == s["checkout"]["sent"])
    assert shop.metrics("w2")["shop_db_oldest_idle_transaction_seconds"] > 2
    stuck = [
        s for s in shop.admin("edge", "GET", "sessions")["sessions"] if s["state"] == "idle in transaction"
    ]
    assert len(stuck) == 1
    assert shop.log("w2", "long_transaction")[-1]["id"] == stuck[0]["id"]
    with pytest.raises(urllib.error.HTTPError, match="409"):
        shop.admin(
            "edge", "POST", "sessions/kill", {"id": stuck[0]["id"], "started": stuck[0]["started"] - 1}
        )
    assert injector.poll() is None
    done = shop.admin("edge", "POST", "sessions/kill", {"id": stuck[0]["id"], "started": stuck[0]["started"]})
    assert done["killed"] is True
    assert injector.wait(DEADLINE) == 0
    shop.wait(2, healthy)


@pytest.mark.usefixtures("well")
def test_missing_index_slows_orders_until_built(shop: Running) -> None:
    before = shop.wait(2, healthy)
    shop.inject("missing-index")
    hurt = shop.wait(2, lambda s: s["orders"]["p50_ms"] > 12)
    assert min(s["orders"]["p50_ms"] for s in hurt) > 2 * max(s["orders"]["p50_ms"] for s in before)
    assert all(s["checkout"]["bad"] == 0 for s in hurt)
    assert shop.log("w1", "slow_query")[-1]["plan"][0] == "SCAN orders"
    name, table, columns = INDEX
    shop.admin("edge", "POST", "index", {"name": name, "table": table, "columns": columns})
    shop.wait(2, healthy)


@pytest.mark.usefixtures("well")
def test_bad_config_fails_every_request_until_restored(shop: Running) -> None:
    path = shop.shop.root / "config" / "edge.json"
    good = path.read_bytes()
    shop.inject("bad-config")
    shop.wait(2, lambda s: s["bad"] == s["sent"] > 0)
    assert shop.metrics("edge")['shop_config_info{version="2"}'] == 1
    assert shop.metrics("w1")["shop_up"] == 1  # the workers are well: only the edge cannot reach them
    new = path.with_suffix(".new")
    new.write_bytes(good)
    new.replace(path)
    shop.wait(2, healthy)


@pytest.mark.usefixtures("well")
def test_false_alarm_hurts_for_a_moment_and_passes_by_itself(shop: Running) -> None:
    first = len(shop.seconds())
    injector = shop.inject("false-alarm")
    assert injector.wait(DEADLINE) == 0
    shop.wait(2, healthy)
    after = shop.seconds()[first:]
    slow = [s for s in after if s["checkout"]["p95_ms"] > 200]
    assert 1 <= len(slow) <= 3


def test_the_admin_api_opens_to_its_token_alone(shop: Running) -> None:
    for process in deploy.PROCESSES:
        for token in ("", "x", shop.shop.token[:-1], shop.shop.token + "x"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                shop.admin(process, "GET", "sessions", token=token)
        assert "sessions" in shop.admin(process, "GET", "sessions")
    assert shop.admin("edge", "GET", "config")["config"]["version"] >= 1


def test_the_token_is_in_no_argument_no_environment_and_no_log(shop: Running) -> None:
    token = shop.shop.token.encode()
    for process in shop.processes.values():
        assert token not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert token not in Path(f"/proc/{process.pid}/environ").read_bytes()
    for path in (shop.shop.root / "log").iterdir():
        assert token not in path.read_bytes()
    assert (shop.shop.root / "secret" / "admin.token").stat().st_mode & 0o077 == 0


def test_a_token_file_that_others_may_read_is_refused(shop: Running, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "log").mkdir()
    token = tmp_path / "secret" / "admin.token"
    token.write_text("x")
    token.chmod(0o644)
    command = shop.shop.command("worker", "--name", "w3", "--port", "1", "--root", str(tmp_path))
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert b"chmod 600" in done.stderr


def test_flags_change_what_the_shop_does(shop: Running) -> None:
    with urllib.request.urlopen(shop.shop.url("edge", "/orders?customer=5"), timeout=DEADLINE) as answer:
        assert "recommended" not in json.loads(answer.read())
    shop.admin("edge", "POST", "flags", {"recommend": True})
    with urllib.request.urlopen(shop.shop.url("edge", "/orders?customer=5"), timeout=DEADLINE) as answer:
        assert len(json.loads(answer.read())["recommended"]) == 3
    assert shop.admin("edge", "POST", "flags", {"recommend": False})["recommend"] is False


def test_the_load_generator_ends_by_itself(shop: Running, tmp_path: Path) -> None:
    out = tmp_path / "load.jsonl"
    port = str(shop.shop.ports["edge"])
    command = shop.shop.command("load", "--port", port, "--rate", "5", "--seconds", "2", "--out", str(out))
    assert subprocess.run(command, timeout=DEADLINE).returncode == 0
    assert len(out.read_text().splitlines()) == 2
    for bad in (("--rate", "100000"), ("--seconds", "999999")):
        command = shop.shop.command("load", "--port", port, *bad, "--out", str(out))
        assert subprocess.run(command, capture_output=True, timeout=DEADLINE).returncode == 2


def test_nothing_of_the_shop_imports_queenright() -> None:
    folder = Path(deploy.__file__).parent
    for path in folder.rglob("*.py"):
        lines = [line.split() for line in path.read_text().splitlines()]
        imported = [words[1] for words in lines if words[:1] in (["import"], ["from"]) and len(words) > 1]
        assert not any(name.startswith("queenright") for name in imported), path
    assert os.path.basename(folder) == "shop"
