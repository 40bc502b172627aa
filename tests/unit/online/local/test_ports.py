"""What a local run takes of the machine, and that it says so when it cannot."""

import os
import socket
from pathlib import Path

import pytest

from fivefold.online.local import environment, ports
from fivefold.online.settings import OnlineSettings


def test_a_taken_port_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(ports.PortTaken, match=rf"port {port} on 127\.0\.0\.1 is taken.*\nhelp: .*--http HOST:PORT"):
            ports.free_address(f"127.0.0.1:{port}", "--http")


def test_port_0_becomes_a_free_one_that_the_system_gives_to_nobody() -> None:
    """Seconds pass until a replica has it, in which Ray opens many sockets on ports of the system's choice."""
    host, port = ports.free_address("127.0.0.1:0", "--http").split(":")

    assert host == "127.0.0.1"
    assert int(port) in ports.FREE_PORTS
    assert ports.FREE_PORTS.stop <= ports.FIRST_PORT


def test_ipv6_keeps_its_brackets() -> None:
    assert ports.free_address("[::1]:0", "--grpc").startswith("[::1]:")


def test_two_runs_never_share_a_block_of_ports() -> None:
    """The second block is chosen while the first is only marked: none of its ports is in use yet."""
    one, first = ports.port_block(set())
    two, second = ports.port_block(set())
    with one, two:
        assert abs(first - second) >= ports.BLOCK


def test_a_block_keeps_away_from_the_ports_that_were_asked_for() -> None:
    mark, free = ports.port_block(set())
    mark.close()
    others = set(range(ports.FIRST_PORT, ports.LAST_PORT + ports.BLOCK)) - set(range(free, free + ports.BLOCK))
    mark, base = ports.port_block(others)
    with mark:
        assert base == free


def test_ray_variables_of_the_user_do_not_leak_into_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is set up for a cluster still gets its own local Ray."""
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    monkeypatch.setenv("FIVEFOLD_MARK", "kept")

    found = environment.variables(tmp_path, 20_000, OnlineSettings())

    assert "RAY_ADDRESS" not in found
    assert found["FIVEFOLD_MARK"] == "kept"
    assert found["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.access(found["RAY_SERVE_HAPROXY_BINARY_PATH"], os.X_OK)


@pytest.mark.parametrize("replicas", [1, 2])
def test_one_replica_answers_itself_and_more_share_the_proxy(tmp_path: Path, replicas: int) -> None:
    """Whoever it is has the addresses that were asked for; beside one replica the proxy's for HTTP is in the block."""
    settings = OnlineSettings(http="127.0.0.1:8001", grpc="127.0.0.1:9001", max_replicas=replicas)

    found = environment.variables(tmp_path, 20_000, settings)

    bound = found["FIVEFOLD_BIND_HTTP"], found["FIVEFOLD_BIND_GRPC"]
    assert bound == ports.proxy_addresses(settings, 20_000)
    assert (ports.direct(settings), *bound) == {
        1: (True, "127.0.0.1:20006", "127.0.0.1:9001"),
        2: (False, "127.0.0.1:8001", "127.0.0.1:9001"),
    }[replicas]


def test_the_proxys_own_endpoints_are_nobody_elses_ports(tmp_path: Path) -> None:
    """What nobody asked for lies in the run's block, apart from Serve's ports and from the replicas' ranges."""
    settings = OnlineSettings(max_replicas=1)
    found = environment.variables(tmp_path, 20_000, settings)

    endpoints = {int(each.rpartition(":")[2]) for each in ports.proxy_addresses(settings, 20_000)}

    taken = {
        name: int(value) for name, value in found.items() if name.startswith("RAY_SERVE") and name.endswith("PORT")
    }
    assert len(endpoints) == 2
    assert endpoints - {int(settings.grpc.rpartition(":")[2])} < set(range(20_001, 20_000 + ports.BLOCK))
    assert not endpoints & set(taken.values())
    for protocol in ("HTTP", "GRPC"):
        first, last = (taken[f"RAY_SERVE_DIRECT_INGRESS_{end}_{protocol}_PORT"] for end in ("MIN", "MAX"))
        assert not endpoints & set(range(first, last))


def test_an_address_that_is_claimed_is_nobody_elses() -> None:
    """Before anybody listens there, and without keeping out what its last owner has left closing."""
    with ports.listener("127.0.0.1:0") as ours:
        port = ours.getsockname()[1]

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        ours.listen()
        with pytest.raises(ports.PortTaken, match=rf"127\.0\.0\.1:{port} is taken"):
            ports.listener(f"127.0.0.1:{port}")
