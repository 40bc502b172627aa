"""What a request may show of its caller, over HTTP and gRPC: one credential, and not for ever the wrong one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from tests.support.grpc_calls import gate_bundle, request_of
from tests.support.grpc_calls import world as grpc_world
from tests.support.http_calls import Reply, World, dumps, world

from fivefold.guard import keys
from fivefold.guard.attempts import FREE
from fivefold.serving.http.protocol import protocol_of

PREDICT = "/v1/models/gate:predict"
INFER = "/v2/models/gate/infer"
BODY = dumps({"instances": [{"x": 2.0}]})
SEVERAL = "expected one credential, got several"

Headers = list[tuple[str, str]]


class Keys:
    """A file with two keys."""

    def __init__(self, directory: Path) -> None:
        self.place = directory / "keys.json"
        self.directory = directory
        self.one, self.other = self.new(), self.new()

    def new(self) -> str:
        key, entry = keys.make("test")
        keys.add(self.place, entry)
        return key


@pytest.fixture
def two(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def ask(out: World, path: str, headers: Headers, peer: str = "127.0.0.1", *, method: str = "POST") -> Reply:
    """One request with these headers, in this order and as often as they stand there."""
    asking = out.exchange(method, path)
    asking._scope["headers"] = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    asking._scope["client"] = (peer, 1) if peer else None
    asking.say(BODY if method == "POST" else b"")
    return out.run(asking.run())


def ways(one: str, other: str) -> list[Headers]:
    """To show two credentials at once."""
    return [
        [("authorization", f"Bearer {one}"), ("authorization", f"Bearer {other}")],
        [("authorization", f"Bearer {one}"), ("authorization", f"Bearer {one}")],
        [("authorization", f"Bearer {one}"), ("authorization", "Basic eDp5")],
        [("authorization", "Basic eDp5"), ("authorization", f"Bearer {one}")],
        [("authorization", f"Bearer {one}"), ("x-api-key", other)],
        [("x-api-key", other), ("authorization", f"Bearer {one}")],
        [("authorization", f"Bearer {one}"), ("x-api-key", "wrong")],
        [("x-api-key", one), ("x-api-key", other)],
        [("x-api-key", one), ("accept", "*/*"), ("accept", "*/*"), ("x-api-key", one)],
        [("authorization", f"Bearer {one}, Bearer {other}")],
        [("authorization", f"Bearer {one},{other}")],
        [("authorization", f"Bearer {one} {other}")],
        [("x-api-key", f"{one}, {other}")],
        [("x-api-key", f"{one} {other}")],
    ]


@pytest.mark.parametrize("way", range(14))
def test_two_credentials_over_http(two: Keys, monkeypatch: pytest.MonkeyPatch, way: int) -> None:
    """Refused on every kind of route, and neither is looked at, though both are right."""
    shown = ways(two.one, two.other)[way]
    with world([gate_bundle(two.directory / "gate")], keys=str(two.place)) as out:
        assert out.serving.guard is not None
        monkeypatch.setattr(out.serving.guard._keyring, "find", lambda _: pytest.fail("a credential was looked at"))
        for method, path in (("POST", PREDICT), ("POST", INFER), ("GET", "/v2/models/gate"), ("GET", "/openapi.json")):
            reply = ask(out, path, shown, method=method)
            assert (reply.status, reply.code) == (401, "unauthenticated"), (path, shown)
            assert reply.json["error"] == SEVERAL
            assert two.one[12:] not in reply.body.decode()


@pytest.mark.parametrize("way", range(14))
def test_two_credentials_over_grpc(two: Keys, way: int) -> None:
    """The same, for a call and for a stream."""
    metadata = tuple(ways(two.one, two.other)[way])
    with grpc_world([gate_bundle(two.directory / "gate")], keys=str(two.place)) as out:
        reply = out.infer(request_of(2.0), metadata=metadata)
        with pytest.raises(grpc.RpcError) as caught:
            list(out.stream(iter([request_of(2.0)]), metadata=metadata))

    assert (reply.code, reply.fivefold, reply.message) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated", SEVERAL)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, SEVERAL)


def test_two_credentials_on_the_shortest_way(two: Keys) -> None:
    """Headers as bytes on a connection, in any case; a right key is answered on the same connection."""

    async def converse(out: World) -> list[bytes]:
        from tests.unit.serving.http.test_servers import running

        async with running(out.app, protocol_of(out.app)) as port:  # type: ignore[arg-type]  # uvicorn takes a class too
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            found = []
            for shown in (
                f"Authorization: Bearer {two.one}\r\nAUTHORIZATION: Bearer {two.other}\r\n",
                f"authorization: Bearer {two.one}\r\nX-Api-Key: {two.other}\r\n",
                f"authorization: Bearer {two.one}\r\n",
            ):
                head = f"POST {PREDICT} HTTP/1.1\r\nhost: here\r\ncontent-length: {len(BODY)}\r\n{shown}\r\n"
                writer.write(head.encode() + BODY)
                answer = await reader.readuntil(b"\r\n\r\n")
                found.append(answer.split()[1])
                length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.partition(b":")[2]))
            writer.close()
            await writer.wait_closed()
            return found

    with world([gate_bundle(two.directory / "gate")], keys=str(two.place)) as out:
        assert out.run(converse(out)) == [b"401", b"401", b"200"]


def test_one_credential_beside_other_headers_that_are_there_twice(two: Keys) -> None:
    with world([gate_bundle(two.directory / "gate")], keys=str(two.place)) as out:
        shown = [("accept", "*/*"), ("authorization", f"Bearer {two.one}"), ("accept", "application/json")]

        assert ask(out, PREDICT, shown).status == 200


def test_wrong_keys_are_slowed_over_http(two: Keys) -> None:
    """429 with Retry-After from there on; a right key from the same place is let in, and so is who shows none."""
    wrong: Headers = [("authorization", f"Bearer {two.one}x")]
    with world([gate_bundle(two.directory / "gate")], keys=str(two.place)) as out:
        replies = [ask(out, PREDICT, wrong, "192.0.2.1") for _ in range(FREE + 2)]

        assert [reply.status for reply in replies] == [401] * FREE + [429] * 2
        assert (replies[-1].code, replies[-1].headers["retry-after"]) == ("rate_limited", "1")
        for shown in ([("x-api-key", "x")], [("authorization", "Basic eDp5")], ways(two.one, two.other)[0]):
            assert ask(out, "/v2/models/gate", shown, "192.0.2.1", method="GET").status == 429
        assert ask(out, PREDICT, [("authorization", f"Bearer {two.one}")], "192.0.2.1").status == 200
        assert ask(out, PREDICT, [], "192.0.2.1").status == 401
        assert ask(out, PREDICT, wrong, "192.0.2.2").status == 401
        # Who is not a proxy of ours cannot say that it is somebody else, nor make somebody else wait.
        assert ask(out, PREDICT, [*wrong, ("x-forwarded-for", "192.0.2.7")], "192.0.2.1").status == 429
        assert ask(out, PREDICT, [*wrong, ("x-forwarded-for", "192.0.2.1")], "192.0.2.3").status == 401
        assert ask(out, "/livez", wrong, "192.0.2.1", method="GET").status == 200


@pytest.mark.parametrize("proxy", ["127.0.0.1", "::1", "10.4.5.6", ""])
def test_behind_a_proxy_the_client_is_slowed(two: Keys, proxy: str) -> None:
    """One on this machine, or one that is named; what the client itself has written before counts for nothing."""
    with world([gate_bundle(two.directory / "g")], keys=str(two.place), trusted_proxies=("10.0.0.0/8",)) as out:

        def status(chain: str) -> int:
            return ask(out, PREDICT, [("x-api-key", "x"), ("x-forwarded-for", chain)], proxy).status

        assert [status(f"198.51.100.{number}, 192.0.2.1") for number in range(FREE + 1)] == [401] * FREE + [429]
        assert status("192.0.2.2") == 401
        assert status("192.0.2.1, 192.0.2.2") == 401
        assert status("192.0.2.1, 10.9.9.9") == 429


def test_wrong_keys_are_slowed_over_grpc(two: Keys) -> None:
    """Calls and streams together, with RetryInfo; a right key is let in."""
    wrong = (("authorization", "Bearer ff_x"),)
    with grpc_world([gate_bundle(two.directory / "gate")], keys=str(two.place)) as out:
        replies: list[Any] = [out.infer(request_of(2.0), metadata=wrong) for _ in range(FREE + 2)]

        assert [reply.fivefold for reply in replies] == ["unauthenticated"] * FREE + ["rate_limited"] * 2
        assert replies[-1].code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert 0 < replies[-1].detail(error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() <= 1
        with pytest.raises(grpc.RpcError) as caught:
            list(out.stream(iter([request_of(2.0)]), metadata=wrong))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert out.infer(request_of(2.0), metadata=(("x-api-key", two.one),)).code is grpc.StatusCode.OK
        other = (*wrong, ("x-forwarded-for", "192.0.2.1"))
        assert out.infer(request_of(2.0), metadata=other).fivefold == "unauthenticated"
