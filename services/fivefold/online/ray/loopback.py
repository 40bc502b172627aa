"""Keeps a local run's ports on loopback, against Ray's habit of listening on every interface.

Ray resolves a node address of 127.0.0.1 to the machine's own, and binds the gRPC servers of replicas and proxies to
`[::]`; one of those unpickles what it is sent. No setting changes either, so the functions that do it are replaced: in
the process that starts Ray (`fivefold.local.ray_start`) and, here, in those that serve. HAProxy's own ports are
`haproxy.launch`'s. On a cluster none of this applies. A test lists the sockets of a real run.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

HOST = "127.0.0.1"
VARIABLE = "FIVEFOLD_LOOPBACK"


def listen_on_loopback_if_asked() -> None:
    """In a replica or a proxy of a local run: bind every gRPC server that is started from here on to loopback."""
    if os.environ.get(VARIABLE) != "1":
        return
    from ray.serve._private import default_impl

    default_impl.add_grpc_address = _add_port  # type: ignore[assignment]  # it ignores what this returns
    replica = sys.modules.get("ray.serve._private.replica")
    if replica is not None:
        replica.add_port_to_grpc_server = _add_port  # type: ignore[attr-defined]  # a module found by name


def _add_port(server: Any, address: str) -> int:
    """Bind a server that asks for `[::]:PORT` to loopback; raises `RuntimeError` where the port is taken.

    gRPC shares a port that another process of ours holds (SO_REUSEPORT) instead of failing, and each of the two would
    get some of the other's requests: so the port is tried first.
    """
    port = int(address.rpartition(":")[2])
    if port:
        with socket.socket() as trial:
            try:
                trial.bind((HOST, port))
            except OSError as error:
                raise RuntimeError(f"port {port} is taken") from error
    return int(server.add_insecure_port(f"{HOST}:{port}"))
