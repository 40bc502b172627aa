"""The ports of a local run: two addresses and a block of its own, so that several runs live side by side.

What goes on inside the block is left to Ray Serve, what its processes are told of it to `environment`.
"""

from __future__ import annotations

import os
import random
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from fivefold.core.settings import address
from fivefold.local.listening import bound_socket
from fivefold.online.ray import loopback

if TYPE_CHECKING:
    from fivefold.online.settings import OnlineSettings

BLOCK = 160
"""Ports a run keeps for itself: one that marks the block as taken, Serve's six, and the replicas' ranges."""

FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Where blocks lie: below the ports that Linux hands out by itself."""

FREE_PORTS = range(12_000, 20_000)
"""Where port 0 is looked for: the system's own choice could go to one of Ray's many sockets before a replica has it."""


class PortTaken(Exception):
    """A port that the run needs belongs to somebody else; the message names it and says what to do."""


def free_address(text: str, option: str) -> str:
    """The address, with a free port in place of port 0; raises `PortTaken` where somebody listens there already."""
    host, port = address(text, option)
    trouble = None
    for chosen in [port] if port else random.sample(FREE_PORTS, 100):
        trouble = _trouble(host, chosen)
        if trouble is None:
            return f"[{host}]:{chosen}" if ":" in host else f"{host}:{chosen}"
    if isinstance(trouble, PermissionError):
        raise PortTaken(f"port {port} on {host} needs more rights\nhelp: {option} {host}:8000")
    assert trouble is not None
    raise PortTaken(
        f"port {port} on {host} is taken ({os.strerror(trouble.errno or 0)})\n"
        f"help: end what listens there, or say {option} HOST:PORT (port 0 takes a free one)"
    )


def _trouble(host: str, port: int) -> OSError | None:
    """Why the port cannot be bound."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        # As HAProxy does: a port with old connections still closing is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            return error
    return None


def free_addresses(settings: OnlineSettings) -> OnlineSettings:
    """The settings with two addresses that are free now, a port chosen where 0 was asked for; raises `PortTaken`."""
    found = replace(settings, http=free_address(settings.http, "--http"), grpc=free_address(settings.grpc, "--grpc"))
    if found.http == found.grpc:
        raise PortTaken(f"{found.http} cannot be both --http and --grpc")
    return found


def port_block(wanted: set[int]) -> tuple[socket.socket, int]:
    """A block of `BLOCK` free ports away from `wanted`: the socket that keeps it ours while open, and its first port.

    Raises `PortTaken` when every block is in use.
    """
    bases = list(range(FIRST_PORT, LAST_PORT, BLOCK))
    random.shuffle(bases)
    for base in bases:
        if wanted & set(range(base, base + BLOCK)):
            continue
        mark = socket.socket()
        try:
            mark.bind((loopback.HOST, base))
            mark.listen()
            for port in range(base + 1, base + BLOCK):
                with socket.socket() as trial:
                    trial.bind((loopback.HOST, port))
        except OSError:
            mark.close()
            continue
        return mark, base
    raise PortTaken(f"no {BLOCK} free ports in a row between {FIRST_PORT} and {LAST_PORT}")


def direct(settings: OnlineSettings) -> bool:
    """Whether the replica itself answers HTTP: there will only be one, so no proxy has to choose."""
    return settings.max_replicas == 1


def proxy_addresses(settings: OnlineSettings, base: int) -> tuple[str, str]:
    """HAProxy's two endpoints, HTTP and gRPC: the addresses that were asked for, but for HTTP one out of the way where
    the replica has that. gRPC's HTTP/2 is ended faster by HAProxy than in Python, whoever answers."""
    return f"{loopback.HOST}:{base + 6}" if direct(settings) else settings.http, settings.grpc


def listener(text: str) -> socket.socket:
    """A socket bound to the address, which nobody else can have from now on; it does not listen yet.

    Raises `PortTaken` where somebody was faster.
    """
    try:
        return bound_socket(*address(text))
    except OSError as error:
        raise PortTaken(f"{text} is taken ({os.strerror(error.errno or 0)})") from None
