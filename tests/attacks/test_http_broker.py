"""The HTTP broker against upstreams and callers that want the credential."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queenright.broker.http import MAX_BODY, MAX_REPLY, BrokerTarget, Call, NotSent, check_path, perform
from queenright.broker.scrub import MARK, Scrubber
from queenright.broker.secret import Secret
from queenright.errors import Malformed, UnknownOutcome

VALUE = b"Zx9/+canary&token==?%7f"
SECRET = Secret("shop-admin", 1, VALUE)


@contextmanager
def upstream(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[BrokerTarget, list[Any]]]:
    """A server on this machine; what it was asked is kept."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.command, self.path, dict(self.headers), body))
            answer(self)

        do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield BrokerTarget.parse(f"http://127.0.0.1:{server.server_address[1]}/base/"), asked
        server.shutdown()


def reply(status: int, body: bytes = b"{}", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_the_call_is_made_as_written_with_the_token() -> None:
    with upstream(reply(200, b'{"ok": true}', Content_Type="application/json")) as (target, asked):
        call = Call.make("POST", "/admin/sessions/kill", {"b": 2, "a": "x y"}, {"id": "w1-7", "started": 3})
        got = perform(target, call, SECRET, timeout=5, key="act-1")
        assert (got.status, got.json(), got.cut) == (200, {"ok": True}, False)
    method, path, headers, body = asked[0]
    assert (method, path) == ("POST", "/base/admin/sessions/kill?a=x+y&b=2")
    assert body == b'{"id":"w1-7","started":3}'
    assert headers["Authorization"] == "Bearer " + VALUE.decode()
    assert headers["Idempotency-Key"] == "act-1"
    assert len(asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_with_the_credential(status: int) -> None:
    with (
        upstream(reply(200)) as (elsewhere, stolen),
        upstream(reply(status, Location=f"http://127.0.0.1:{elsewhere.port}/")) as (target, _),
    ):
        assert perform(target, Call.make("GET", "/x"), SECRET, timeout=5).status == status
    assert stolen == []


def test_an_echoed_secret_is_scrubbed_in_every_common_shape() -> None:
    text = VALUE.decode()
    shapes = [
        VALUE,
        base64.b64encode(VALUE),
        base64.urlsafe_b64encode(b"Bearer " + VALUE),
        base64.b64encode(b"user:" + VALUE + b":more"),
        quote(text).encode(),
        quote(text, safe="").lower().encode(),
        quote_plus(text).encode(),
        json.dumps({"a": text}).encode(),
        VALUE.hex().encode(),
        VALUE.hex().upper().encode(),
    ]
    body = b" | ".join(shapes)
    with upstream(reply(200, body, Content_Type=text)) as (target, _):
        got = perform(target, Call.make("GET", "/x"), SECRET, timeout=5)
    assert got.body.count(MARK) >= len(shapes)
    assert got.content_type == MARK.decode()
    for left in (VALUE, base64.b64encode(VALUE)[2:-4], VALUE.hex().encode(), quote(text, safe="").encode()):
        assert left.lower() not in got.body.lower()


def test_a_reply_that_cannot_be_read_is_not_passed_on() -> None:
    with upstream(reply(200, gzip.compress(VALUE), Content_Encoding="gzip")) as (target, _):
        assert perform(target, Call.make("GET", "/x"), SECRET, timeout=5).body == b""


def test_a_reply_is_bounded() -> None:
    with upstream(reply(200, b"x" * (MAX_REPLY + 10))) as (target, _):
        got = perform(target, Call.make("GET", "/x"), SECRET, timeout=5)
    assert (len(got.body), got.cut) == (MAX_REPLY, True)
    with pytest.raises(Malformed, match="longer"):
        got.json()


def test_nothing_sent_and_nothing_known_are_told_apart() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(NotSent):
        perform(BrokerTarget.parse(f"http://127.0.0.1:{port}"), Call.make("GET", "/x"), SECRET, timeout=5)

    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    def silent(handler: BaseHTTPRequestHandler) -> None:
        gone.wait(10)

    gone = threading.Event()
    for answer in (
        cut,
        silent,
        lambda handler: None,
        lambda handler: handler.wfile.write(b"\x00\xff\r\n\r\n"),
    ):
        with upstream(answer) as (target, asked):
            with pytest.raises(UnknownOutcome) as unknown:
                perform(target, Call.make("POST", "/x", body={}), SECRET, timeout=0.5)
            gone.set()
            assert len(asked) == 1
            assert VALUE.decode() not in str(unknown.value)
            assert unknown.value.__suppress_context__


@pytest.mark.parametrize(
    "path",
    [
        "x",
        "",
        "/a/../b",
        "/./a",
        "//evil/",
        "/a//b",
        "/a b",
        "/a\r\nX: y",
        "/a\n",
        "/%2e%2e/",
        "/a?b=c",
        "/a#b",
        "/ä",
        "/a\x00",
        "/a\\b",
        "/" + "a" * 2000,
        "http://evil/",
    ],
)
def test_a_path_means_the_same_to_every_server(path: str) -> None:
    with pytest.raises(Malformed):
        Call.make("GET", path)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_a_query_never_reaches_another_line_or_path(query: dict[str, str]) -> None:
    try:
        target = Call.make("GET", "/x", query).target("/base")
    except UnicodeEncodeError:
        return
    assert target.isascii()
    assert not set(target) & set(" \r\n#")
    assert target.count("?") <= 1
    check_path(target.partition("?")[0])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "http://",
        "http://user:pw@127.0.0.1/",
        "http://127.0.0.1/?x=1",
        "http://127.0.0.1/#x",
        "http://127.0.0.1:99999/",
        "http://localhost/",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "http://127.0.0.1/a/../b",
        "http://[::1",
    ],
)
def test_an_upstream_that_could_hear_the_secret_in_clear_is_refused(url: str) -> None:
    with pytest.raises(Malformed):
        BrokerTarget.parse(url)


def test_good_upstreams_are_taken() -> None:
    assert BrokerTarget.parse("http://[::1]:8080/a/") == BrokerTarget("http", "::1", 8080, "/a")
    assert BrokerTarget.parse("https://admin.example") == BrokerTarget("https", "admin.example", 443, "")


@pytest.mark.parametrize(
    "value", [b"line1\r\nX-Evil: 1", b"with space", b"\xff\xfe-not-text", b"tab\tinside"]
)
def test_a_secret_that_is_no_token_is_not_sent_and_not_shown(value: bytes) -> None:
    with upstream(reply(200)) as (target, asked):
        with pytest.raises(NotSent) as refused:
            perform(target, Call.make("GET", "/x"), Secret("bad", 1, value), timeout=5)
        assert asked == []
    assert value.decode("latin-1") not in str(refused.value)


def test_a_body_is_bounded_and_json_only() -> None:
    with pytest.raises(Malformed):
        Call.make("POST", "/x", body="a" * MAX_BODY)
    with pytest.raises(ValueError, match="JSON"):
        Call.make("POST", "/x", body=float("nan"))


@given(st.binary(min_size=8, max_size=40), st.binary(max_size=10), st.binary(max_size=10))
def test_no_base64_of_a_line_with_the_secret_survives(value: bytes, before: bytes, after: bytes) -> None:
    cleaned = Scrubber(value).clean(base64.b64encode(before + value + after))
    assert MARK in cleaned
    assert value not in Scrubber(value).clean(before + value + after) or value in MARK
