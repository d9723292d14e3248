"""resources.toml: what an owner maps, checked, compiled, with the line of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.actions.resources import Resource, ResourceMap
from queenright.actions.resources_toml import check_host, compile_resources
from queenright.core import canonical, decode
from queenright.errors import Denied, Malformed

SHOP = """
[svc."shop/web"]
start = ["/opt/shop/web", "--port", "8080"]
pidfile = "/opt/shop/run/web.pid"
cwd = "/opt/shop"
env = {B = "2", A = "1"}
output = "/opt/shop/log/web.err"
stop_seconds = 5
release_link = "/opt/shop/current"
releases = "/opt/shop/releases"
restart_on_release = true
config = ["/opt/shop/config/edge.json"]
metrics = "http://127.0.0.1:8080/metrics"
healthy = "shop_up >= 1"
logs = ["/opt/shop/log/web.jsonl"]
flags = "/opt/shop/flags.json"
admin = {url = "http://127.0.0.1:8080", secret = "vault:shop-admin", get = ["/admin/sessions"]}
risk = "high"

[db."shop/main"]
admin = {url = "http://127.0.0.1:8081", secret = "vault:shop-admin", also = ["http://127.0.0.1:8082"]}
sessions = {list = "/admin/sessions", kill = "/admin/sessions/kill"}
index = {create = "/admin/index", drop = "/admin/index"}
flags = {get = "/admin/flags", set = "/admin/flags"}
"""


def test_the_same_text_gives_the_same_bytes_and_they_read_back() -> None:
    made = compile_resources(SHOP)
    again = ResourceMap.decode(made.encode())
    assert again.encode() == made.encode()
    assert again.digest == made.digest
    assert [item.id for item in again] == ["db:shop/main", "svc:shop/web"]
    assert again.find("svc:shop/web") == made.find("svc:shop/web")
    swapped = "\n".join(reversed(SHOP.strip().split("\n\n")))
    assert compile_resources(swapped).digest == made.digest
    assert compile_resources(SHOP.replace("8080/metrics", "8081/metrics")).digest != made.digest


def test_altered_bytes_are_not_a_resources_document() -> None:
    data = compile_resources(SHOP).encode()
    body = decode(data)
    items = body["resources"]
    for bad in (
        body | {"v": 2},
        body | {"kind": "operators"},
        body | {"more": 1},
        body | {"resources": items[::-1]},
        body | {"resources": [items[0], items[0]]},
        body | {"resources": [items[0] | {"extra": 1}]},
        body | {"resources": [{"id": "svc:x"}]},
        {},
        [],
    ):
        with pytest.raises(Malformed):
            ResourceMap.decode(canonical(bad))
    with pytest.raises(Malformed):
        ResourceMap.decode(data[:-1])


def test_what_is_not_mapped_is_denied_by_name() -> None:
    with pytest.raises(Denied, match="svc:shop/other") as denied:
        compile_resources(SHOP).get("svc:shop/other", "svc.restart")
    assert denied.value.dimensions[0].name == "resource"
    with pytest.raises(Malformed, match=r"needs `releases` of svc:x"):
        Resource("svc:x").need("releases", "release.rollback")


@pytest.mark.parametrize(
    ("line", "replacement", "at", "why"),
    [
        ('pidfile = "/opt/shop/run/web.pid"', 'pidfile = "run/web.pid"', 4, "absolute"),
        ('pidfile = "/opt/shop/run/web.pid"', 'pidfile = "/opt/../etc/shadow"', 4, "plain path"),
        ('pidfile = "/opt/shop/run/web.pid"', 'pidfile = "/opt/shop/run/"', 4, "plain path"),
        ('pidfile = "/opt/shop/run/web.pid"', "", 3, "needs pidfile"),
        ("stop_seconds = 5", "stop_seconds = 0", 8, "1 to 120"),
        ("stop_seconds = 5", "stop_seconds = true", 8, "whole number"),
        ("restart_on_release = true", "restart_on_releas = true", 11, "unknown"),
        ('"http://127.0.0.1:8080/metrics"', '"http://10.0.0.1/metrics"', 13, "in clear"),
        ('secret = "vault:shop-admin", get', 'secret = "hunter2hunter2", get', 17, "never write a value"),
        ('["/admin/sessions"]', '["/admin/../x"]', 17, ".. parts"),
        ('risk = "high"', 'risk = "low"', 18, "computed"),
        ('healthy = "shop_up >= 1"', 'healthy = "shop_up"', 14, "comparison"),
        ("start = [", "start = [3, ", 3, "text"),
        ('start = ["/opt/shop/web"', 'start = ["web"', 3, "absolute"),
        ('env = {B = "2"', "env = {B = 2", 6, "variable"),
        ('kill = "/admin/sessions/kill"', 'stop = "/x"', 22, "unknown"),
        (
            'flags = {get = "/admin/flags", set = "/admin/flags"}',
            'flags = {get = "/x"}',
            24,
            "set is missing",
        ),
        ('[svc."shop/web"]', '[pod."shop/web"]', 2, "svc"),
        ('[svc."shop/web"]', '[svc."Shop Web"]', 2, "lower-case"),
    ],
)
def test_each_mistake_is_named_with_its_line(line: str, replacement: str, at: int, why: str) -> None:
    assert line in SHOP
    with pytest.raises(Malformed) as wrong:
        compile_resources(SHOP.replace(line, replacement, 1))
    assert f"resources.toml:{at}:" in wrong.value.message
    assert why in wrong.value.message


@given(st.text(max_size=200))
def test_no_text_gets_past_as_anything_but_resources(text: str) -> None:
    try:
        made = compile_resources(text)
    except (Malformed, UnicodeEncodeError):
        return
    assert ResourceMap.decode(made.encode()).encode() == made.encode()


def test_paths_through_links_and_into_our_own_directories_are_found(tmp_path: Path) -> None:
    real, state = tmp_path / "real", tmp_path / "state"
    real.mkdir()
    state.mkdir()
    (tmp_path / "link").symlink_to(real)
    (real / "log").write_text("")
    (real / "sneaky").symlink_to(real / "log")
    (real / "releases").mkdir()
    text = f"""
[svc."a"]
logs = ["{tmp_path}/link/log", "{real}/sneaky", "{state}/store/x", "{real}/fine"]
release_link = "{real}/log"
releases = "{real}/releases"
start = ["{real}/log"]
pidfile = "{tmp_path}/absent/pid"
"""
    found = "\n".join(check_host(compile_resources(text), forbidden=(state,)))
    for part in (
        "goes through a link",
        "sneaky is a symbolic link",
        "own directories",
        "is not a symbolic",
        "cannot be run",
    ):
        assert part in found
    assert "absent does not exist" in found
    assert "fine" not in found
