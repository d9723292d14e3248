"""The built-in verbs against a real service: processes, releases, configs, an admin API with a bearer
token.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from acting_world import PERSON, TOKEN, ActingWorld
from authority_world import agent_id

from queenright.actions.act import AskOpened, Done, Failed, Refused, UnknownEnd
from queenright.actions.process import start_time
from queenright.demo.shop import deploy

RULES = """
[[allow]]
do = ["metrics.read", "logs.read", "http.get", "svc.restart"]
on = "**"

[[allow]]
do = ["release.rollback", "config.restore", "flag.set", "db.index.create"]
on = "**"

[[ask]]
do = ["db.session.kill"]
on = "db:shop/*"
answer_within = "10m"
"""
# More rows than one SQL page, few enough that laying the shop out takes a moment.
ORDERS = 2_000
# A service that an act started belongs to the host: the next test finds it running.
RESTARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[deploy.Shop]:
    """The demo's shop with its two workers, started by nobody of ours."""
    placed = deploy.deploy(tmp_path_factory.mktemp("shop") / "shop", ORDERS)
    workers = {name: deploy.start(placed, name) for name in ("w1", "w2")}
    yield placed
    for worker in (*workers.values(), *RESTARTED):
        worker.kill()
        worker.wait()


def resources(shop: deploy.Shop) -> str:
    def service(name: str, more: str = "") -> str:
        url = shop.url(name)
        return f"""
[svc."shop/{name}"]
start = {json.dumps(shop.start(name))}
pidfile = "{shop.pidfile(name)}"
cwd = "{shop.root}"
stop_seconds = 5
metrics = "{url}/metrics"
healthy = "shop_up >= 1"
logs = ["{shop.log(name)}"]
admin = {{url = "{url}", secret = "vault:shop-admin", get = ["/admin/sessions"]}}
flags = {{get = "/admin/flags", set = "/admin/flags"}}
{more}
"""

    release = f"""
release_link = "{shop.root}/current"
releases = "{shop.root}/releases"
config = ["{shop.root}/config/edge.json"]
"""
    database = f"""
[db."shop/main"]
admin = {{url = "{shop.url("w1")}", also = ["{shop.url("w2")}"], secret = "vault:shop-admin"}}
sessions = {{list = "/admin/sessions", kill = "/admin/sessions/kill"}}
index = {{create = "/admin/index", drop = "/admin/index"}}
"""
    return service("w1", release) + service("w2") + database


@pytest.fixture
async def world(tmp_path: Path, shop: deploy.Shop) -> AsyncIterator[ActingWorld]:
    made = ActingWorld(tmp_path, RULES, resources(shop))
    made.store.commit(made.vault.set("shop-admin", shop.token.encode()))
    await made.engine.observe()
    yield made
    RESTARTED.extend(made.services)
    made.services.clear()
    await made.close()


async def test_metrics_are_parsed_samples_and_a_silent_target_is_a_finding(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    result = await world.act("metrics.read", "svc:shop/w1", names=["shop_up", "shop_build_info"])
    assert {name: value for name, _, value in result.value["samples"]} == {
        "shop_up": 1.0,
        "shop_build_info": 1.0,
    }
    labels = {"release": "v1"}
    only = await world.act("metrics.read", "svc:shop/w1", ordinal=1, labels=labels)
    assert [row[0] for row in only.value["samples"]] == ["shop_build_info"]
    (closed,) = deploy.free_ports(1)
    world.policy.resources = type(world.policy.resources)(
        {
            item.id: type(item).from_map(item.to_map() | {"metrics": f"http://127.0.0.1:{closed}/"})
            for item in world.policy.resources
        }
    )
    silent = await world.act("metrics.read", "svc:shop/w1", ordinal=2)
    assert (type(silent), silent.code) == (Failed, "unreachable")


async def test_logs_come_in_whole_lines_from_an_offset(world: ActingWorld, shop: deploy.Shop) -> None:
    whole = (await world.act("logs.read", "svc:shop/w2")).value
    assert whole["text"].endswith("\n")
    assert [json.loads(line)["event"] for line in whole["text"].splitlines()][:1]
    again = (await world.act("logs.read", "svc:shop/w2", ordinal=1, offset=whole["next"])).value
    assert (again["text"], again["next"]) == ("", whole["next"])
    tail = (await world.act("logs.read", "svc:shop/w2", ordinal=2, offset=-60)).value
    assert whole["text"].endswith(tail["text"])
    stamp = json.loads(whole["text"].splitlines()[0])["ts"]
    window = await world.act("logs.read", "svc:shop/w2", ordinal=3, from_ms=stamp + 10**9)
    assert window.value["text"] == ""


async def test_the_broker_reads_what_the_owner_opened_and_nothing_else(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    result = await world.act("http.get", "svc:shop/w1", path="/admin/sessions")
    assert result.value["status"] == 200
    assert result.value["json"] == {"sessions": []}
    for path in ("/admin/flags", "/admin/sessions/../flags", "//evil"):
        refused = await world.act("http.get", "svc:shop/w1", ordinal=len(path), path=path)
        assert (type(refused), refused.code) == (Failed, "path_not_mapped")
    world.store.commit(world.vault.remove("shop-admin"))
    gone = await world.act("http.get", "svc:shop/w1", ordinal=99, path="/admin/sessions")
    assert (type(gone), gone.code) == (Failed, "unknown")
    leases = [entry.kind for entry in world.entries("lease.")]
    assert leases == ["lease.issued", "lease.ended"] * 4
    assert not [lease for lease in world.authority.leases if lease.live]


async def test_a_restart_ends_exactly_that_process_and_proves_the_new_one_healthy(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    before = int(shop.pidfile("w2").read_text())
    result = await world.act("svc.restart", "svc:shop/w2")
    assert isinstance(result, Done), result
    after = int(shop.pidfile("w2").read_text())
    assert (result.value["was"], result.value["pid"]) == (before, after)
    assert before != after
    assert start_time(before) is None
    started = world.entries("action.started")[0]
    assert started.action is not None
    assert started.action.reversibility == "compensate"
    os.kill(after, signal.SIGKILL)
    world.services[-1].wait()
    dead = await world.act("svc.restart", "svc:shop/w2", ordinal=1)
    assert isinstance(dead, Done), dead
    assert dead.value["was"] is None


async def test_a_pidfile_that_names_another_process_ends_nothing(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    pidfile = shop.pidfile("w2")
    kept = pidfile.read_text()
    victim = await asyncio.create_subprocess_exec("/bin/sleep", "60")
    try:
        await asyncio.sleep(0)
        pidfile.write_text(f"{victim.pid}\n")
        result = await world.act("svc.restart", "svc:shop/w2")
        assert (type(result), result.code) == (Failed, "not_the_service")
        assert victim.returncode is None
        for text in ("1\n", "-1\n", "0\n", "all\n", "99999999999\n"):
            pidfile.write_text(text)
            result = await world.act("svc.restart", "svc:shop/w2", ordinal=len(text) + ord(text[0]))
            assert (type(result), result.code) == (Failed, "malformed")
        pidfile.unlink()
        pidfile.symlink_to("/proc/self/stat")
        result = await world.act("svc.restart", "svc:shop/w2", ordinal=99)
        assert (type(result), result.code) == (Failed, "malformed")
    finally:
        victim.kill()
        await victim.wait()
        pidfile.unlink(missing_ok=True)
        pidfile.write_text(kept)
    assert not world.entries("action.started")


async def test_a_release_goes_back_and_forth_and_somebody_elses_change_is_not_overwritten(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    link = shop.root / "current"
    new = shop.root / "current.new"
    new.symlink_to("releases/v2")
    new.replace(link)
    result = await world.act("release.rollback", "svc:shop/w1")
    assert isinstance(result, Done), result
    assert (result.value, os.readlink(link)) == ({"release": "v1", "was": "v2"}, "releases/v1")
    nothing = await world.act("release.rollback", "svc:shop/w1", ordinal=1, to="v1")
    assert (type(nothing), nothing.code) == (Failed, "nothing_to_do")
    for name in ("v9", "..", "../../etc"):
        refused = await world.act("release.rollback", "svc:shop/w1", ordinal=10 + len(name), to=name)
        assert isinstance(refused, Failed)
    preview = await world.undo.preview(("act", result.act))
    assert preview.steps[0].conflict == ""
    link.unlink()
    link.symlink_to("releases/v3")
    conflict = await world.undo.preview(("act", result.act))
    assert "somebody changed it since" in conflict.steps[0].conflict
    outcome = await world.undo.execute(preview, PERSON)
    assert outcome.failed[0][1] == "changed_meanwhile"
    assert os.readlink(link) == "releases/v3"
    link.unlink()
    link.symlink_to("releases/v1")
    outcome = await world.undo.execute(await world.undo.preview(("act", result.act)), PERSON)
    assert (len(outcome.done), os.readlink(link)) == (1, "releases/v2")
    assert (await world.undo.preview(("act", result.act))).steps == ()
    undone = world.entries("action.undone")[0]
    assert undone.cause == result.act
    link.unlink()
    link.symlink_to("releases/v1")


async def test_a_config_gets_its_last_good_content_back(world: ActingWorld, shop: deploy.Shop) -> None:
    path = shop.root / "config" / "edge.json"
    good = path.read_bytes()
    nothing = await world.act("config.restore", "svc:shop/w1")
    assert (type(nothing), nothing.code) == (Failed, "no_previous")
    path.write_bytes(good.replace(b"2000", b"1"))
    result = await world.act("config.restore", "svc:shop/w1", ordinal=1)
    assert isinstance(result, Done), result
    assert path.read_bytes() == good
    foreign = await world.act("config.restore", "svc:shop/w1", ordinal=2, path="/etc/passwd")
    assert (type(foreign), foreign.code) == (Failed, "malformed")
    outcome = await world.undo.execute(await world.undo.preview(("since", 0)), PERSON)
    assert len(outcome.done) == 1
    assert path.read_bytes() != good
    path.write_bytes(good)


async def test_an_index_is_built_proved_and_dropped_by_its_undo(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    args = {"name": "test_sku", "table": "orders", "columns": ["sku"]}
    result = await world.act("db.index.create", "db:shop/main", **args)
    assert isinstance(result, Done), result
    twice = await world.act("db.index.create", "db:shop/main", ordinal=1, **args)
    assert (type(twice), twice.code) == (Failed, "conflict")
    for bad in ({"name": "x; drop"}, {"table": "orders--"}, {"columns": []}, {"columns": ["a b"]}):
        refused = await world.act("db.index.create", "db:shop/main", ordinal=2, **(args | bad))
        assert (type(refused), refused.code) == (Failed, "malformed")
    outcome = await world.undo.execute(await world.undo.preview(("act", result.act)), PERSON)
    assert (len(outcome.done), outcome.failed) == (1, ())
    assert isinstance(await world.act("db.index.create", "db:shop/main", ordinal=3, **args), Done)
    await world.undo.execute(await world.undo.preview(("agent", agent_id(0))), PERSON)


async def test_a_flag_is_set_through_the_admin_api_and_set_back(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    flags = shop.root / "flags.json"
    result = await world.act("flag.set", "svc:shop/w1", name="recommend", value=True)
    assert isinstance(result, Done), result
    assert json.loads(flags.read_text())["recommend"] is True
    outcome = await world.undo.execute(await world.undo.preview(("intent", world.standing.intent.id)), PERSON)
    assert len(outcome.done) == 1
    assert json.loads(flags.read_text())["recommend"] is False


def hold(shop: deploy.Shop, release: threading.Event, held: threading.Event) -> None:
    """A client that opens a write transaction and falls silent."""
    with socket.create_connection(("127.0.0.1", shop.ports["w2"]), timeout=60) as link:
        link.sendall(b"POST /stocktake HTTP/1.0\r\nContent-Length: 28\r\n\r\nsku-1 1000000\n")
        held.set()
        release.wait(60)


async def test_killing_a_session_is_an_ask_sealed_to_that_session(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    release, held = threading.Event(), threading.Event()
    client = threading.Thread(target=hold, args=(shop, release, held))
    client.start()
    try:
        assert held.wait(30)
        session: dict[str, Any] = {}
        for ordinal in range(200):
            listed = await world.act(
                "http.get", "svc:shop/w2", ordinal=1000 + ordinal, path="/admin/sessions"
            )
            waiting = [s for s in listed.value["json"]["sessions"] if s["state"] == "idle in transaction"]
            if waiting:
                session = waiting[0]
                break
        assert session
        wanted = {"id": session["id"], "started": session["started"]}
        other = await world.act("db.session.kill", "db:shop/main", ordinal=1, id=session["id"], started=1)
        assert (type(other), other.code) == (Failed, "unknown")
        asked = await world.act("db.session.kill", "db:shop/main", reason="it holds the lock", **wanted)
        assert isinstance(asked, AskOpened)
        head = world.authority.asks.get(asked.ask_id)
        assert head.risk == "CRITICAL"
        assert "transaction is lost" in world.engine.acts.shown(asked.ask_id)["effect"]
        world.answer(asked.ask_id)
        result = await world.act("db.session.kill", "db:shop/main", reason="it holds the lock", **wanted)
        assert isinstance(result, Done), result
        assert result.value == {"id": session["id"], "killed": True}
        started = world.entries("action.started")[-1]
        assert started.action is not None
        assert (started.action.reversibility, str(started.action.undo)[:6]) == ("none", "none: ")
        preview = await world.undo.preview(("act", result.act))
        assert "cannot be undone" in preview.steps[0].skipped
        outcome = await world.undo.execute(preview, PERSON)
        assert (outcome.done, outcome.failed) == ((), ())
    finally:
        release.set()
        client.join()


async def test_the_token_stands_in_no_result_leaf_or_file_of_ours(
    world: ActingWorld, shop: deploy.Shop
) -> None:
    token = shop.token.encode()
    results = [
        await world.act("http.get", "svc:shop/w1", path="/admin/sessions"),
        await world.act("flag.set", "svc:shop/w1", ordinal=1, name="recommend", value=True),
        await world.act("flag.set", "svc:shop/w1", ordinal=2, name="recommend", value=False),
    ]
    assert token.decode() not in repr(results)
    await world.engine.close()
    for path in world.base.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert token not in data, path
            assert TOKEN not in data, path


async def test_an_upstream_that_dies_in_the_act_leaves_it_unknown(world: ActingWorld) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        main = world.policy.resources.find("db:shop/main")
        assert main is not None
        mapped = main.to_map() | {"admin": {"url": url, "secret": "vault:shop-admin", "get": [], "also": []}}
        world.policy.resources = type(world.policy.resources)({main.id: type(main).from_map(mapped)})

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.close()

        server = threading.Thread(target=hang_up)
        server.start()
        args = {"name": "lost", "table": "orders", "columns": ["sku"]}
        result = await world.act("db.index.create", "db:shop/main", **args)
        server.join()
    assert isinstance(result, UnknownEnd)
    again = await world.act("db.index.create", "db:shop/main", **args)
    assert again == result
    assert [entry.kind for entry in world.entries("action.")] == ["action.started", "action.unknown"]
    assert not isinstance(again, Refused)
