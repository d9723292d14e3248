"""Where every fuzzer begins: real values, made here and kept in `fuzz/seeds`, a directory a target.

The Python decoders' are in `decoders`; those of the Rust targets are cut as `queenright_properties::input` reads them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgpack
from decoders import ASK, BIRTH, DECODERS, ID, INTENT, KEY, MAIL

from queenright.core import canonical, leaf_hash
from queenright.core.host import sealing_keypair
from queenright.core.operator import OperatorKey, sshsig_payload
from queenright.wire import link

__all__ = ["DIRECTORY", "FOUND", "SEEDS", "write"]

DIRECTORY = Path(__file__).parents[2] / "fuzz" / "seeds"
FOUND = "found-"  # what a fuzzer found and is fixed: never written, never removed here


def part(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def parts(*data: bytes | str) -> bytes:
    return b"".join(part(one.encode() if isinstance(one, str) else one) for one in data)


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


OPERATOR = OperatorKey.generate(bytes([3]) * 32, "ana@ops")
NAMESPACE = "order@queenright.v1"
SIGNATURE = KEY.sign(b"message")
_, PUBLIC = sealing_keypair(b"s" * 32, ID, 1)
_, ENCAPSULATED = sealing_keypair(b"t" * 32, ID, 1)
CIPHERTEXT = hashlib.sha256(b"nobody sealed this").digest()[:25]
BATCH = [
    line.split(" ", 1)
    for line in (Path(__file__).parents[1] / "vectors" / "batch.txt").read_text().splitlines()
    if not line.startswith("#")
]
SMALL_ORDER = (
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("ec" + "ff" * 30 + "7f"),
    bytes.fromhex("ed" + "ff" * 30 + "7f"),
)
CANONICAL = {
    "nil": canonical(None), "numbers": canonical([0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**64 - 1]),
    "negative": canonical([-1, -32, -33, -128, -129, -32768, -32769, -(2**31) - 1, -(2**63)]),
    "floats": canonical([0.5, -0.0, 1e308]), "texts": canonical(["", "é" * 20, "x" * 40, "x" * 300]),
    "bytes": canonical([b"", b"x" * 256]), "deep": canonical([[[[[[[[{"a": [{"b": [[]]}]}]]]]]]]]),
    "map": canonical({str(n): n for n in range(20)}), "birth": BIRTH.encode(), "ask": ASK.encode(),
    "intent": INTENT.encode(), "deliver": link.encode(link.Deliver(ID, 1, 1, MAIL, [])),
}  # fmt: skip
SPAWN = {
    "op": "spawn", "id": 1, "kind": "cell", "argv": ["/usr/bin/python3", "-I"], "env": {"LANG": "C.UTF-8"}, "cwd": "/",
    "binds": [{"src": "/opt/x", "dst": "/queenright/x", "writable": False}], "hide": ["/usr/share/x"], "landlock": None,
    "fds": 5, "limits": {"memory_bytes": 1 << 28, "open_files": 64, "file_bytes": 0, "processes": 32, "tmp_bytes": 1 << 20},
    "uid_slot": 3, "hostname": "cell-1",
}  # fmt: skip
EXECUTOR = SPAWN | {
    "kind": "executor", "binds": [], "hide": [], "landlock": {"read": ["/usr"], "write": ["/opt/shop"], "descriptors": []}, "uid_slot": None,
    "hostname": None,
}  # fmt: skip
SERVICE = {
    "op": "service", "id": 2, "argv": ["/opt/shop/web"], "env": {}, "cwd": "/opt/shop", "output": "/opt/shop/o",
    "pidfile": "/opt/shop/p",
}  # fmt: skip
ARMOR = OPERATOR.sign(NAMESPACE, b"message")
BLOB = part(b"")[:0] + b"".join(
    len(one).to_bytes(4, "big") + one
    for one in (b"ssh-ed25519", KEY.sign(sshsig_payload(NAMESPACE, b"message")))
)
RUST: dict[str, dict[str, bytes]] = {
    "canonical_read": CANONICAL,
    "canonical_write": {
        "list": b"\7\3\0\1\1\5" + part(b"x") + b"\x09\0",
        "map": b"\x08\1" + part(b"a") + b"\2\7" + number(200) + b"\x09\0",
        "scalars": b"\7\5\2\0" + number(1 << 40) + b"\3\0" + number(2**64 - 40) + b"\4" + number(0x3FF8 << 48) + b"\6" + part(b"b") + b"\0\x09\0",
    },
    "filter": {
        name: parts(query, "svc/web restart") + number(5) + number(0x4000 << 48)
        for name, query in {
            "bare": "web", "column": "name:web", "compare": "depth:>=5 load:<3.5", "glob": "name:/s?c*rest*/", "not": "!zzz",
            "quoted": '"web restart" !depth:<2', "stars": "/*a*b*c*?/",
        }.items()
    },
    "launcher_message": {
        "spawn": msgpack.packb(SPAWN), "executor": msgpack.packb(EXECUTOR), "service": msgpack.packb(SERVICE),
        "kill": msgpack.packb({"op": "kill", "id": 7}), "kill_many": msgpack.packb({"op": "kill_many", "ids": [7, 2**63]}),
        "list": msgpack.packb(["kill", 7]), "odd": msgpack.packb({"op": "dance"}),
    },
    "egress_answer": {
        "chunked": b'HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n',
        "ok": b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi',
    },
    "egress_chunks": {
        "extension": b'3;a=b\r\nabc\r\n0\r\n\r\n',
        "two": b'3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nafter',
    },
    "egress_request": {
        "inside": b'GET /v1/a?q=1 HTTP/1.1\r\nHost: a.example\r\nAuthorization: x\r\nConnection: close\r\n\r\n',
        "both": b'POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
        "connect": b'CONNECT pypi.org:443 HTTP/1.0\r\n\r\n',
        "get": b'GET http://a.example:8080/a/b%20c?d=e HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nConnection: x\r\nX: y\r\n\r\n',
        "post": b'POST http://[2001:db8::1]/x HTTP/1.1\r\nHost: [2001:db8::1]\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        "put": b'PUT http://10.0.0.1/~me/a:b HTTP/1.1\r\nHost: 10.0.0.1:80\r\nContent-Length: 3\r\nAuthorization: x\r\n\r\nabc',
    },
    "merkle_given": {
        "inclusion": number(0) + number(2) + leaf_hash(b"a") + ID + b"\1" + leaf_hash(b"b"),
        "consistency": number(1) + number(1) + ID + ID + b"\0",
        "large": number(2**63) + number(2**64 - 1) + ID + ID + b"\x40" + ID * 3,
    },
    "merkle_made": {
        f"{size}-{old}-{now}": bytes([size]) + number(old) + number(now) + number(old) + b"\1\x55"
        for size, old, now in ((0, 0, 0), (6, 3, 2), (7, 4, 3), (12, 5, 6), (254, 100, 77))
    },
    "names": {
        "verbs": parts("db.*", "db.session.kill", "db.session.kill"), "any": parts("*", "svc.restart", "svc.restart"),
        "deep": parts("svc:shop/**", "svc:shop/*", "svc:shop/web"), "star": parts("svc:*/web", "svc:shop/*", "svc:shop/web"),
        "all": parts("**", "ws:self", "ws:self"), "kind": parts("intent", "ask", "birth"),
    },
    "operator_key": {
        "plain": OPERATOR.to_openssh(None, None).encode(), "sealed": OPERATOR.to_openssh(b"secret", bytes(20)).encode(),
    },
    "sanitize": {
        name: bytes([lines]) + number(limit) + text.encode()
        for name, lines, limit, text in (
            ("plain", 0, 40, "sre/logs/07 restarted"), ("lines", 1, 80, "one\ntwo\r\n\tthree"), ("short", 0, 5, "much too long"),
            ("escape", 0, 90, "\x1b]0;title\x07\x1b[31mred"), ("bidi", 0, 90, "abc\u202edef\u2066x\u2069"),
            ("marks", 0, 90, "e\u0301\u0302\u0303\u0304 \u200b\u2800"), ("wide", 0, 9, "漢字かな🐝🐝"), ("hebrew", 0, 30, "שלום"),
        )
    },
    "batch_letter": {
        str(at): bytes.fromhex(value) for at, value in enumerate(value for name, value in BATCH if name == "letter")
    },
    "batch_packet": {name: bytes.fromhex(value) for name, value in BATCH if name in ("packet", "forwarded")},
    "seal_given": {
        "other": parts(PUBLIC, ENCAPSULATED, b"info", b"aad", CIPHERTEXT),
        "zero": parts(bytes(32), bytes(32), b"", b"", b""), "short": parts(PUBLIC[:31], ENCAPSULATED[:31], b"", b"", b"x"),
    },
    "seal_made": {
        "same": bytes([4]) * 32 + number(1) + parts(b"s" * 32, ID, b"info", b"aad", b"plaintext"),
        "edited": bytes([4]) * 32 + number(1) + parts(b"s" * 32, ID, b"info", b"aad", b"plaintext") + b"\3\0" + number(5) + b"\1",
    },
    "signature_given": {
        "good": parts(KEY.public_key, b"message", SIGNATURE),
        "mixed": parts(KEY.public_key, b"message", SIGNATURE, KEY.public_key, b"massage", SIGNATURE),
        "small": b"".join(parts(key, b"", key + bytes(32)) for key in SMALL_ORDER),
        "short": parts(KEY.public_key[:31], b"", SIGNATURE[:63]),
    },
    "signature_made": {
        "same": ID + part(b"message"), "edited": ID + part(b"message") + b"\2\0" + number(33) + b"\x80",
        "undone": ID + part(b"message") + (b"\1\0" + number(2) + b"\x10") * 2,
    },
    "sshsig_armor": {
        "good": parts(OPERATOR.public_line, NAMESPACE, b"message", ARMOR, BLOB),
        "bare": parts(OPERATOR.public_line, "x", b"", "", BLOB),
    },
    "sshsig_edited": {
        "same": ID + part(b"message"), "space": ID + part(b"message") + b"\2" + number(60) + b"\n",
        "cut": ID + part(b"message") + b"\1" + number(90) + b"\0",
    },
    "sshsig_line": {
        "plain": OPERATOR.public_line.encode(), "rsa": b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==", "options": b'command="x" ' + OPERATOR.public_line.encode(),
        "sk": b"sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIJKoCwx5ICHhJPTKmRNVRMLkXCRpXTKEDTSZbcXbXMmRAAAABHNzaDo= k",
    },
    "view": {
        "rows": b"".join(b"\0" + bytes([n]) + part(b"text%d" % n) + bytes([9 - n, 32]) for n in range(6)) + b"\4\0\1\4\1\0\5\1\3\2",
        "tree": b"\6\1" + b"".join(b"\0" + bytes([n]) + part(b"a") + bytes([n, n - 1 if n else 32]) for n in range(5)) + b"\7\1\1\3\2\7\0\3\4\7\0",
    },
}  # fmt: skip
SEEDS = RUST | {f"py_{name}": decoder.seeds for name, decoder in DECODERS.items()}


def name_of(data: bytes) -> str:
    """How a finding is called."""
    return FOUND + hashlib.sha256(data).hexdigest()[:12]


def write(seeds: dict[str, dict[str, bytes]]) -> None:
    """Make the directory say exactly this, beside what was found."""
    for target, values in seeds.items():
        place = DIRECTORY / target
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            if not old.name.startswith(FOUND) and old.name not in values:
                old.unlink()
        for name, data in values.items():
            (place / name).write_bytes(data)
