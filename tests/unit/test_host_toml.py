"""[host."…"] of resources.toml: what an owner may map, and that the certificates it names are what is signed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from upstreams import make_authority

from queenright.actions.opened import carries, opened_host
from queenright.actions.resources import Host, ResourceMap
from queenright.actions.resources_toml import compile_resources
from queenright.errors import Malformed

API = """
[host."api.example.com"]
port = 8443
inject = {header = "authorization", prefix = "Bearer ", secret = "vault:api-token", paths = ["/v1/**", "/me"], methods = ["GET"]}
"""


def test_a_host_is_compiled_signed_and_read_back() -> None:
    made = compile_resources(API)
    (resource,) = ResourceMap.decode(made.encode())
    assert resource.id == "host:api.example.com"
    assert resource.host == Host(
        header="authorization",
        secret="vault:api-token",
        port=8443,
        prefix="Bearer ",
        methods=("GET",),
        paths=("/v1/**", "/me"),
    )
    assert opened_host(made, "api.example.com", 8443) == resource
    assert opened_host(made, "api.example.com", 443) is None
    assert opened_host(made, "b.example.com", 8443) is None


@pytest.mark.parametrize(
    ("method", "place", "carried"),
    [
        ("GET", "/v1/items", True),
        ("GET", "/v1", True),
        ("GET", "/me", True),
        ("GET", "/me/too", False),
        ("GET", "/v2", False),
        ("GET", "", False),
        ("POST", "/v1/items", False),
    ],
)
def test_method_and_path_decide_what_carries_it(method: str, place: str, carried: bool) -> None:
    (resource,) = compile_resources(API)
    assert carries(resource, method, f"host:api.example.com/8443{place}") is carried
    (everything,) = compile_resources(API.split(", paths")[0] + "}")
    assert carries(everything, method, f"host:api.example.com/8443{place}")


def test_what_was_signed_before_there_were_hosts_keeps_its_bytes() -> None:
    made = compile_resources('[svc.a]\nmetrics = "http://127.0.0.1:1/m"\n')
    assert b"inject" not in made.encode()
    (item,) = made
    assert "host" not in item.to_map()
    assert ResourceMap.decode(made.encode()).encode() == made.encode()


def test_the_certificates_are_read_once_and_are_what_is_signed(tmp_path: Path) -> None:
    ca = make_authority(tmp_path)
    text = f'{API}ca = "{ca}"\n'
    made = compile_resources(text)
    (resource,) = made
    assert resource.host is not None
    assert resource.host.ca == ca.read_text()
    ca.write_text(make_authority(tmp_path, "other").read_text())
    assert compile_resources(text).digest != made.digest


@pytest.mark.parametrize("what", ["missing", "link", "folder", "pipe", "text", "large"])
def test_what_holds_no_certificates_is_refused(tmp_path: Path, what: str) -> None:
    ca = tmp_path / "ca.pem"
    if what == "link":
        ca.symlink_to(make_authority(tmp_path, "real"))
    elif what == "folder":
        ca.mkdir()
    elif what == "pipe":
        os.mkfifo(ca)
    elif what == "text":
        ca.write_text("no certificate")
    elif what == "large":
        ca.write_text(make_authority(tmp_path, "real").read_text() * 200)
    with pytest.raises(Malformed, match=r"host\.api\.example\.com\.ca"):
        compile_resources(f'{API}ca = "{ca}"\n')


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('"api.example.com"', '"*.example.com"'), "lower-case name"),
        (('"api.example.com"', '"10.0.0.1"'), "lower-case name"),
        (('"api.example.com"', '"Api.example.com"'), "lower-case name"),
        (('"api.example.com"', '"api.example.com."'), "lower-case name"),
        (('"api.example.com"', '"api/example"'), "lower-case name"),
        (("8443", "0"), "port"),
        (("8443", "true"), "port"),
        (('"authorization"', '"Authorization"'), "lower case"),
        (('"authorization"', '"host"'), "credential can stand in"),
        (('"authorization"', '"proxy-authorization"'), "credential can stand in"),
        (('"Bearer "', '"a\\r\\nb: c"'), "visible ASCII"),
        (('"vault:api-token"', '"abc"'), "reference to a secret"),
        (('"/me"', '"me"'), "a path as grants write it"),
        (('"/me"', '"/a//b"'), "a path as grants write it"),
        (('"/me"', '"/a b"'), "pattern"),
        (('"GET"', '"CONNECT"'), "not one of GET"),
        (("port = 8443", 'start = ["/bin/x"]'), "unknown"),
        (('secret = "vault:api-token", ', ""), "secret is missing"),
    ],
)
def test_each_mistake_is_named(change: tuple[str, str], why: str) -> None:
    assert change[0] in API
    with pytest.raises(Malformed) as raised:
        compile_resources(API.replace(*change))
    assert why in raised.value.message, raised.value.message
