"""Sockets that are bound before anything answers on them, so that nobody else can have the port meanwhile."""

from __future__ import annotations

import socket


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket bound to that address; it does not listen yet. Raises `OSError` where it cannot be had.

    A port whose old connections are still closing can be had.
    """
    out = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        out.bind((host, port))
    except OSError:
        out.close()
        raise
    return out
