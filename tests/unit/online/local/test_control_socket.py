"""What a run hears by its socket, and what it answers."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fivefold.core.errors import BundleInvalid, FivefoldError, InternalError
from fivefold.local.scratch import Scratch
from fivefold.online.local import running
from fivefold.online.local.control_socket import NAME, ControlSocket, ReplaceOrder, Says


def replace(order: ReplaceOrder, says: Says) -> dict[str, Any]:
    """Serves what it is told, apart from two references."""
    says("trying")
    if order.models == ["broken"]:
        raise BundleInvalid("no such file", path="bundle.json", help="pack it")
    if order.models == ["defect"]:
        raise RuntimeError("a secret")
    return {"models": [{"name": name} for name in order.models or ("as before",)]}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[running.RunningServer]:
    """A run of this user's, found as any is."""
    # A socket's path is short.
    scratch = Scratch(Path("/tmp"), "fivefold-test-")
    monkeypatch.setattr(running, "own_short", lambda: [scratch.path, tmp_path])
    control = ControlSocket(scratch.path, lambda: {"http": "127.0.0.1:1"}, replace)
    yield running.choose(None)
    control.close()
    scratch.close()


def test_an_order_is_followed_and_told(server: running.RunningServer) -> None:
    """How far it is, and what is served then."""
    said: list[str] = []

    assert server.replace(ReplaceOrder(["a", "b"]), said.append)["models"] == [{"name": "a"}, {"name": "b"}]
    assert server.replace(ReplaceOrder(), said.append)["models"] == [{"name": "as before"}]
    assert said == ["trying", "trying"]


def test_a_refusal_comes_with_its_way_on(server: running.RunningServer) -> None:
    """The error itself; and of a defect no more than that there is one."""
    with pytest.raises(BundleInvalid, match=r"bundle.json: no such file") as refused:
        server.replace(ReplaceOrder(["broken"]), lambda _: None)
    with pytest.raises(InternalError) as defect:
        server.replace(ReplaceOrder(["defect"]), lambda _: None)

    assert refused.value.help == "pack it"
    assert "secret" not in str(defect.value)


@pytest.mark.parametrize("line", [b"{}", b"[]", b"no JSON", b'{"ask": "stop"}', b'{"ask": "replace", "models": 1}'])
def test_what_is_no_order_is_refused(line: bytes, server: running.RunningServer) -> None:
    with socket.socket(socket.AF_UNIX) as caller, caller.makefile("rb") as answers:
        caller.connect(str(server.socket))
        caller.sendall(line + b"\n")
        answer = json.loads(answers.readline())

    assert (answer["event"], answer["error"]["code"]) == ("refused", "not_implemented")


def test_a_run_that_is_not_there_is_said_with_those_that_are(server: running.RunningServer) -> None:
    with pytest.raises(FivefoldError, match=r"no server of this user answers at 127\.0\.0\.1:2") as missing:
        running.choose("127.0.0.1:2")

    assert missing.value.help == "running: 127.0.0.1:1"
    assert server.socket.name == NAME
