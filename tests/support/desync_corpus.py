"""What a client may send to bring a connection out of step, and what has to come of it.

Every case is a request, or what claims to be one, behind which another stands: `NEXT`, which has an answer of its own.
Either the connection goes on and `NEXT` gets that answer, or it is closed and nothing more is answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

PREDICT = b"/v1/models/gate:predict"
HOST = b"Host: here"


def body(x: float) -> bytes:
    return json.dumps({"instances": [{"x": x}]}).encode()


def post(x: float, *lines: bytes, path: bytes = PREDICT) -> bytes:
    """An ordinary request for the double of x."""
    content = body(x)
    head = [b"POST %b HTTP/1.1" % path, HOST, *lines, b"Content-Length: %d" % len(content), b"", b""]
    return b"\r\n".join(head) + content


ASKED, NEXT, EVIL = 7.0, 21.0, 666.0
SMUGGLED = post(EVIL)
"""A request that lies where no request is: whoever answers it is out of step."""


def raw(*lines: bytes, content: bytes = b"", start: bytes = b"POST %b HTTP/1.1" % PREDICT, host: bytes = HOST) -> bytes:
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""]) + content


def chunks(content: bytes, size: int = 5, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n%b\r\n" % trailer


CHUNKED = b"Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Case:
    """`status` is the first answer's at the direct endpoint, `behind` the statuses that HAProxy may make of it.

    HAProxy mends some of what is refused directly, as RFC 9112 lets it, and passes it on in one meaning.
    """

    name: str
    data: bytes
    status: int
    behind: tuple[int, ...] = ()

    @property
    def statuses(self) -> tuple[int, ...]:
        return self.behind or (self.status,)


def upgrades() -> Iterator[Case]:
    content = body(ASKED)
    inner = json.dumps({"instances": [{"x": ASKED}], "parameters": {"at": SMUGGLED.decode()}}).encode()
    lines = {
        "h2c": [b"Connection: Upgrade", b"Upgrade: h2c"],
        "java": [b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAEAAEAAAAIAAAAB", b"Upgrade: h2c"],
        "many": [b"Connection: keep-alive, upgrade", b"Upgrade: foo/1, bar"],
        "twice": [b"Connection: upgrade", b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: foo"],
        "empty": [b"Connection: Upgrade", b"Upgrade:"],
        "alone": [b"Upgrade: h2c"],
        "connection alone": [b"Connection: Upgrade"],
        "tls": [b"Connection: Upgrade", b"Upgrade: TLS/1.0"],
        "capitals": [b"CONNECTION: UPGRADE", b"UPGRADE: H2C"],
    }
    for name, offer in lines.items():
        length = b"Content-Length: %d" % len(content)
        yield Case(f"upgrade {name}, length", raw(*offer, length, content=content), 200)
        yield Case(f"upgrade {name}, length first", raw(length, *offer, content=content), 200)
        yield Case(f"upgrade {name}, chunked", raw(*offer, CHUNKED, content=chunks(content)), 200)
        yield Case(f"upgrade {name}, nothing", raw(*offer, b"Content-Length: 0"), 400)
    offer = lines["h2c"]
    size = b"Content-Length: %d"
    yield Case("upgrade, a request in its body", raw(*offer, size % len(SMUGGLED), content=SMUGGLED), 400)
    yield Case("upgrade, a request in its chunks", raw(*offer, CHUNKED, content=chunks(SMUGGLED, 40)), 400)
    yield Case("upgrade, a request in its JSON", raw(*offer, size % len(inner), content=inner), 200, (200, 400, 422))
    yield Case("upgrade, get", raw(*offer, start=b"GET /v2 HTTP/1.1"), 200)
    yield Case("upgrade, two lengths", raw(*offer, b"Content-Length: 0", size % 9, content=SMUGGLED), 400)
    yield Case("upgrade, both lengths", raw(*offer, size % 5, CHUNKED, content=b"0\r\n\r\n"), 400, (200, 400))
    yield Case(
        "upgrade in a trailer", raw(CHUNKED, content=chunks(content, trailer=b"Upgrade: h2c\r\n")), 400, (200, 400)
    )


def bodies() -> Iterator[Case]:
    """How long a body is, said in ways that two readers may understand differently."""
    content = body(ASKED)
    size = b"%d" % len(content)
    length = b"Content-Length: " + size
    zero = b"0\r\n\r\n"
    yield Case("length and chunked", raw(length, CHUNKED, content=chunks(content)), 400, (200, 400))
    yield Case("chunked and length", raw(CHUNKED, b"Content-Length: 4", content=chunks(content)), 400, (200, 400))
    yield Case("the same length twice", raw(length, length, content=content), 400, (200, 400))
    yield Case("two lengths", raw(length, b"Content-Length: 1", content=content), 400)
    yield Case("a list of lengths", raw(length + b", " + size, content=content), 400, (200, 400))
    for odd in (b"+5", b"5 5", b"0x5", b"", b"-5", b"5.0", b"5e0", b"99999999999999999999999", b"18446744073709551616"):
        yield Case(f"length {odd!r}", raw(b"Content-Length: " + odd, content=b"hello"), 400)
    for odd in (b"5\x0b", b"5,", b",5", b'"5"', b"\xb2"):
        yield Case(f"length {odd!r}", raw(b"Content-Length: " + odd, content=b"hello"), 400)
    for coding in (
        b"gzip, chunked",
        b"gzip",
        b"identity",
        b"xchunked",
        b"chunkedx",
        b"chunked, chunked",
        b"chunked;q=1",
    ):
        yield Case(f"coding {coding!r}", raw(b"Transfer-Encoding: " + coding, content=zero), 400, (400, 422))
    for coding in (
        b"chunked, identity",
        b",chunked",
        b"chunked,",
        b"",
        b'"chunked"',
        b"\x0bchunked",
        b"chunked\x00",
    ):
        yield Case(f"coding {coding!r}", raw(b"Transfer-Encoding: " + coding, content=zero), 400, (400, 422))
    yield Case("two codings", raw(b"Transfer-Encoding: gzip", CHUNKED, content=zero), 400, (400, 422))
    yield Case("chunked twice", raw(CHUNKED, CHUNKED, content=zero), 400)
    yield Case("space before the colon", raw(b"Transfer-Encoding : chunked", content=zero), 400)
    yield Case("tab before the colon", raw(b"Transfer-Encoding\t: chunked", content=zero), 400)
    yield Case("space before length's colon", raw(b"Content-Length : 5", content=b"hello"), 400)
    yield Case("chunked in HTTP/1.0", raw(CHUNKED, content=zero, start=b"POST %b HTTP/1.0" % PREDICT), 400)
    yield Case("CHUNKED", raw(b"TRANSFER-ENCODING: CHUNKED", content=chunks(content)), 200)
    yield Case("get with a body", raw(length, content=content, start=b"GET /v2 HTTP/1.1"), 200)
    yield Case(
        "get with a request as body",
        raw(b"Content-Length: %d" % len(SMUGGLED), content=SMUGGLED, start=b"GET /v2 HTTP/1.1"),
        200,
    )
    yield Case(
        "expect and upgrade",
        raw(b"Expect: 100-continue", b"Connection: upgrade", b"Upgrade: h2c", length, content=content),
        200,
    )


def chunk_framing() -> Iterator[Case]:
    content = body(ASKED)
    good = chunks(content)
    yield Case("extension", raw(CHUNKED, content=chunks(content, extension=b";a=b;c")), 200)
    yield Case("quoted extension", raw(CHUNKED, content=chunks(content, extension=b';a="b\\"c"')), 200, (200, 400))
    for odd in (
        b"5;a\nb",
        b"5;a\rb",
        b"5;a\x00b",
        b" 5",
        b"+5",
        b"-5",
        b"0x5",
        b"5g",
        b"",
        b"5_0",
        b"10000000000000005",
    ):
        yield Case(f"chunk size {odd!r}", raw(CHUNKED, content=odd + b"\r\nhello\r\n0\r\n\r\n"), 400)
    yield Case("chunk size '5 '", raw(CHUNKED, content=good.replace(b"5\r\n", b"5 \r\n")), 400, (200, 400))
    yield Case("chunk ended by LF", raw(CHUNKED, content=b"5\nhello\r\n0\r\n\r\n"), 400)
    yield Case("chunk data ended by LF", raw(CHUNKED, content=b"5\r\nhello\n0\r\n\r\n"), 400)
    yield Case("chunk without end", raw(CHUNKED, content=b"5\r\nhello0\r\n\r\n"), 400)
    yield Case("chunk too long", raw(CHUNKED, content=b"5\r\nhelloXX\r\n0\r\n\r\n"), 400)
    yield Case("last chunk ended by LF", raw(CHUNKED, content=good[:-4] + b"\n\r\n"), 400)
    yield Case("trailer", raw(CHUNKED, content=chunks(content, trailer=b"X-Sum: 1\r\n")), 200)
    for name in (
        b"Host: evil",
        b"Authorization: Bearer x",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"X-Api-Key: k",
    ):
        yield Case(f"trailer {name!r}", raw(CHUNKED, content=chunks(content, trailer=name + b"\r\n")), 400, (200, 400))
    yield Case("trailer folded", raw(CHUNKED, content=chunks(content, trailer=b"X: 1\r\n 2\r\n")), 400, (200, 400))


def heads() -> Iterator[Case]:
    content = body(ASKED)
    length = b"Content-Length: %d" % len(content)

    def get(*lines: bytes, start: bytes = b"GET /v2 HTTP/1.1", host: bytes = HOST) -> bytes:
        return raw(*lines, start=start, host=host)

    yield Case("two hosts", get(b"Host: evil"), 400)
    yield Case("the same host twice", get(HOST), 400, (200, 400))
    yield Case("no host", get(host=b""), 400)
    for odd in (
        b"a@b",
        b"a/b",
        b"a b",
        b"a?b",
        b"a#b",
        b"a\\b",
        b"a:b",
        b"a:80:80",
        b"[::1",
        b"a,b",
        b"http://a",
        b"<a>",
        b"a\tb",
    ):
        yield Case(f"host {odd!r}", get(host=b"Host: " + odd), 400)
    yield Case("IPv6 host", get(host=b"Host: [::1]:8000"), 200)
    yield Case("folded header", get(b"X: 1", b" 2"), 400, (200, 400))
    yield Case("folded coding", raw(b"Transfer-Encoding:", b" chunked", content=b"0\r\n\r\n"), 400, (200, 400))
    yield Case("space before the first header", raw(start=b"GET /v2 HTTP/1.1\r\n X: y"), 400, (200, 400))
    yield Case("bare CR in a value", get(b"X: 1\r2"), 400)
    yield Case("bare CR as a line's end", get(b"X: 1\rY: 2"), 400)
    yield Case("bare LF as a line's end", get(b"X: 1\nY: 2"), 400, (200, 400))
    yield Case("a length behind a bare LF", get(b"X: 1\nContent-Length: 5") + b"hello", 400, (200, 400))
    yield Case("bare LF behind the request line", raw(start=b"GET /v2 HTTP/1.1\n" + HOST, host=b""), 400, (200, 400))
    yield Case("NUL in a value", get(b"X: 1\x002"), 400)
    yield Case("NUL in a name", get(b"X\x00: 1"), 400)
    for name in (b"X(y", b"X y", b"X\xe9", b"", b"X@", b"X\x7f", b'"X"', b"X,"):
        yield Case(f"header name {name!r}", get(name + b": 1"), 400)
    yield Case("no colon", get(b"nothing"), 400)
    yield Case("HTTP/0.9 said", get(start=b"GET /v2 HTTP/0.9"), 400)
    yield Case("HTTP/2.0 said", get(start=b"GET /v2 HTTP/2.0"), 400)
    for version in (
        b"HTTP/1.2",
        b"HTTP/3.0",
        b"HTTP/1.10",
        b"http/1.1",
        b"HTTP/01.1",
        b"HTTP/1,1",
        b"HTTP/1.1 x",
        b"HTP/1.1",
    ):
        yield Case(f"version {version!r}", get(start=b"GET /v2 " + version), 400)
    yield Case("CONNECT", get(start=b"CONNECT here:80 HTTP/1.1", host=b"Host: here:80"), 405)
    tunnel = get(b"Content-Length: %d" % len(SMUGGLED), start=b"CONNECT here:80 HTTP/1.1", host=b"Host: here:80")
    yield Case("CONNECT with a body", tunnel + SMUGGLED, 405)
    yield Case("TRACE", get(start=b"TRACE /v2 HTTP/1.1"), 405)
    yield Case("TRACE with a body", raw(length, content=content, start=b"TRACE /v2 HTTP/1.1"), 405)
    yield Case("absolute target", get(start=b"GET http://here/v2 HTTP/1.1"), 200)
    yield Case("absolute target of another host", get(start=b"GET http://evil/v2 HTTP/1.1"), 400)
    yield Case("absolute target with user", get(start=b"GET http://u@here/v2 HTTP/1.1"), 400)
    yield Case("absolute target of another scheme", get(start=b"GET ftp://here/v2 HTTP/1.1"), 400, (200, 400))
    yield Case("everything, get", get(start=b"GET * HTTP/1.1"), 400, (400, 404))
    yield Case("everything, options", get(start=b"OPTIONS * HTTP/1.1"), 404)
    yield Case("target without slash", get(start=b"GET v2 HTTP/1.1"), 400, (400, 404))
    yield Case("target with a fragment", get(start=b"GET /v2#x HTTP/1.1"), 400, (200, 400))
    for odd in (b"/v2\x00", b"/v2\tx", b"/v2\x0cx", b"/v2\x7f", b"/v2\xe9", b"/v2 x", b"/v2\rx"):
        yield Case(f"target {odd!r}", get(start=b"GET " + odd + b" HTTP/1.1"), 400)
    yield Case("method in small letters", get(start=b"get /v2 HTTP/1.1"), 400)
    yield Case("unknown method", get(start=b"BREW /v2 HTTP/1.1"), 400)
    yield Case("spaces around the target", get(start=b"GET  /v2  HTTP/1.1"), 200, (200, 400))
    yield Case("empty lines before", b"\r\n\r\n" + get(), 200, (200, 400))
    yield Case("closing, then more", post(ASKED, b"Connection: close"), 200)
    yield Case("HTTP/1.0", raw(length, content=content, start=b"POST %b HTTP/1.0" % PREDICT), 200)
    yield Case("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400)
    yield Case("preface of HTTP/2, other frames", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 400, (400,))


CASES = [*upgrades(), *bodies(), *chunk_framing(), *heads(), Case("ordinary", post(ASKED), 200)]
