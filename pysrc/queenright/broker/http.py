"""The HTTP broker: one admin call for an agent, with a token it never sees (delivery class `act`).

Host and base path come from the owner-signed `resources.toml` alone. The caller gives a method, a path, a
query and a JSON body, and no header: there is nowhere to put an Authorization of its own. No redirect is
followed. Runs in an executor, once.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from queenright.broker.outcome import NotSent
from queenright.broker.scrub import Scrubber
from queenright.broker.secret import Secret
from queenright.errors import Malformed, UnknownOutcome

__all__ = ["MAX_BODY", "MAX_REPLY", "BrokerTarget", "Call", "NotSent", "Reply", "check_path", "perform"]

MAX_REPLY = 1 << 20
"""Bytes of a reply's body that are read. What is scrubbed must be held whole."""

MAX_BODY = 64 * 1024
"""Bytes of a request's body: an admin call is an order, not an upload."""

_MAX_PATH = 1024
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_TOKEN = re.compile(rb"[\x21-\x7e]+")  # RFC 9110 field values, without the spaces that a token has none of
Method = Literal["GET", "POST", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True)
class BrokerTarget:
    """Where calls go: scheme, host and port are fixed; `base` is put before every path."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    base: str

    @classmethod
    def parse(cls, url: str) -> BrokerTarget:
        """Raises `Malformed` for what is no plain http(s) URL, or for clear-text http to another machine."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as bad:
            raise Malformed(f"admin url {url!r} is not a url: {bad}") from bad
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Malformed(f"admin url {url!r} is not http or https with a host")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise Malformed(
                f"admin url {url!r} has a user, query or fragment", hint="give host and base path only"
            )
        if parts.scheme == "http" and not _loopback(parts.hostname):
            raise Malformed(
                f"admin url {url!r} would send its secret in clear to another machine",
                hint="use https, or an address of this machine (127.0.0.1, ::1)",
            )
        base = parts.path.rstrip("/")
        if base:
            check_path(base)
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        return cls(scheme, parts.hostname, port or (443 if scheme == "https" else 80), base)


def _loopback(host: str) -> bool:
    # A name could come to mean another machine: only an address is proof.
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `body` is JSON bytes as they are sent, or None."""

    method: Method
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    @classmethod
    def make(
        cls, method: Method, path: str, query: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Call:
        """Materialise a call. Raises `Malformed` for a path, query or body out of bounds."""
        check_path(path)
        pairs = tuple((str(name), str(value)) for name, value in sorted((query or {}).items()))
        data = None
        if body is not None:
            data = json.dumps(body, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
            if len(data) > MAX_BODY:
                raise Malformed(f"a body of {len(data)} bytes; at most {MAX_BODY}")
        call = cls(method, path, pairs, data)
        if len(call.target("")) > _MAX_PATH:
            raise Malformed(f"path and query are longer than {_MAX_PATH} bytes")
        return call

    def target(self, base: str) -> str:
        return base + self.path + (f"?{urlencode(self.query)}" if self.query else "")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, scrubbed. `cut`: the body was longer than MAX_REPLY and only its beginning is here."""

    status: int
    content_type: str
    body: bytes
    cut: bool

    def json(self) -> Any:
        """The body as JSON. Raises `Malformed` when it is none, or was cut."""
        if self.cut:
            raise Malformed(f"the reply is longer than {MAX_REPLY} bytes")
        try:
            return json.loads(self.body)
        except ValueError as bad:
            raise Malformed("the reply is not json") from bad


def check_path(path: str) -> None:
    """Raise `Malformed` unless `path` is absolute, plain ASCII, and means the same to every server that
    reads it.
    """
    if len(path) > _MAX_PATH or not _PATH.fullmatch(path):
        raise Malformed("a path is / and then letters, digits and ._~!$&'()*+,;=:@/- only, without % escapes")
    if any(part in (".", "..") for part in path.split("/")) or "//" in path:
        raise Malformed("a path has no empty, . or .. parts")


def perform(
    target: BrokerTarget,
    call: Call,
    secret: Secret | None,
    *,
    timeout: float,
    key: str = "",
    context: ssl.SSLContext | None = None,
) -> Reply:
    """Do the call once, with the secret as bearer token.

    `timeout`: seconds for connecting and for each wait. `key`: an Idempotency-Key for the upstream. Raises
    `NotSent` when nothing left this machine, `UnknownOutcome` when the request may have arrived and no whole
    reply came back. A redirect is returned as it is (3xx), never followed.
    """
    headers = {"Host": _host(target), "Accept": "application/json, text/*", "Accept-Encoding": "identity"}
    headers |= {"Connection": "close", "User-Agent": "queenright"}
    if key:
        headers["Idempotency-Key"] = key
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    if secret is not None:
        headers["Authorization"] = "Bearer " + _token(secret)
    connection = _connect(target, timeout, context)
    try:
        return _exchange(connection, target, call, headers, secret)
    finally:
        connection.close()


def _token(secret: Secret) -> str:
    value = secret.reveal().rstrip(b"\r\n")
    if not _TOKEN.fullmatch(value):
        raise NotSent(f"secret {secret.name} cannot stand in a header: it is not one line of visible ASCII")
    return value.decode("ascii")


def _host(target: BrokerTarget) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == {"http": 80, "https": 443}[target.scheme] else f"{host}:{target.port}"


def _connect(
    target: BrokerTarget, timeout: float, context: ssl.SSLContext | None
) -> http.client.HTTPConnection:
    connection: http.client.HTTPConnection
    if target.scheme == "https":
        verified = context or ssl.create_default_context()
        connection = http.client.HTTPSConnection(target.host, target.port, timeout=timeout, context=verified)
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout)
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise NotSent(f"no connection to {_host(target)}: {_reason(error)}") from None
    return connection


def _exchange(
    connection: http.client.HTTPConnection,
    target: BrokerTarget,
    call: Call,
    headers: Mapping[str, str],
    secret: Secret | None,
) -> Reply:
    try:
        connection.putrequest(
            call.method, call.target(target.base), skip_host=True, skip_accept_encoding=True
        )
        for name, value in headers.items():
            connection.putheader(name, value)
        if call.body is not None or call.method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(call.body or b"")))
    except (ValueError, http.client.HTTPException) as error:
        # The text of these holds the value that was refused, which may be the secret.
        raise NotSent(
            f"the request to {_host(target)} could not be written: {type(error).__name__}"
        ) from None
    try:
        connection.endheaders(call.body)
        response = connection.getresponse()
        body = response.read(MAX_REPLY + 1)
        if len(body) <= MAX_REPLY and response.length:
            raise http.client.IncompleteRead(
                b""
            )  # http.client itself says so only when it reads without a bound
    except (OSError, http.client.HTTPException) as error:
        message = f"no whole reply from {_host(target)}: {_reason(error)}"
        raise UnknownOutcome(message, hint="look at the service before doing it again") from None
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        # We asked for none, and cannot look for the secret in what we cannot read.
        body = b""
    clean = Scrubber(secret.reveal().rstrip(b"\r\n")).clean if secret is not None else bytes
    kind = clean(response.headers.get("Content-Type", "").encode("latin-1", "replace")[:200])
    return Reply(response.status, kind.decode("latin-1"), clean(body)[:MAX_REPLY], len(body) > MAX_REPLY)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate does not verify"
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
