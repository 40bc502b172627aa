"""One deadline for a whole HTTP exchange: looking a name up, connecting, TLS, sending, and every byte of the answer.

httpx limits each step by itself, so a call may take several times its timeout, and a server that sends a byte now and
then holds it for ever. Here the network's own reads and writes are given what is left until the deadline. The async
transport needs none of this: there a call is cancelled as a whole.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx


class TotalTimeout(httpcore.NetworkBackend):
    """A network whose operations end at the calling thread's deadline; without one they take what they are given."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner
        self._local = threading.local()

    @classmethod
    def of(cls, client: httpx.Client) -> TotalTimeout | None:
        """Put one under every connection of a client; None where it has no connections, as with a transport of its
        caller's own.

        httpx has no option for the network of its pools, so this reaches for it; a test proves that it holds.
        """
        found: TotalTimeout | None = None
        for transport in (client._transport, *client._mounts.values()):
            pool = getattr(transport, "_pool", None)
            if isinstance(pool, httpcore.ConnectionPool):
                found = found or cls(pool._network_backend)
                pool._network_backend = found
        return found

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """This thread's operations inside end at `deadline` (`time.monotonic`)."""
        self._local.deadline = deadline
        try:
            yield
        finally:
            self._local.deadline = None

    def left(self, timeout: float | None, late: type[Exception]) -> float | None:
        """The seconds that an operation may take; raises `late` where there are none."""
        deadline = getattr(self._local, "deadline", None)
        if deadline is None:
            return timeout
        left: float = deadline - time.monotonic()
        if left <= 0:
            raise late("the time is up")
        return left if timeout is None else min(left, timeout)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers; each may take its share of the time."""
        failure: Exception | None = None
        addresses = self._addresses(host, port, timeout)
        for tried, address in enumerate(addresses):
            left = self.left(timeout, httpcore.ConnectTimeout)
            share = None if left is None else left / (len(addresses) - tried)
            try:
                return _Stream(self._inner.connect_tcp(address, port, share, local_address, socket_options), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as err:
                failure = err
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        left = self.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_unix_socket(path, left, socket_options), self)

    def _addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        """The host's addresses. A resolver knows no timeout, so it is waited for from outside."""
        found: list[str] = []
        failed: list[OSError | UnicodeError] = []

        def look_up() -> None:
            try:
                answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as err:  # the latter: a name with an empty part, or one of 64 letters
                failed.append(err)
            else:
                found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

        if _is_literal(host):
            return [host]
        thread = threading.Thread(target=look_up, daemon=True, name="fivefold-resolver")
        thread.start()
        thread.join(self.left(timeout, httpcore.ConnectTimeout))
        if thread.is_alive():
            raise httpcore.ConnectTimeout("the time is up")
        if failed:
            raise httpcore.ConnectError(str(failed[0])) from failed[0]
        return found


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, network: TotalTimeout) -> None:
        self._inner = inner
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._network.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In parts: of a large body each would have the whole time.
        view = memoryview(buffer)
        for start in range(0, len(view), _PART):
            part = bytes(view[start : start + _PART])
            self._inner.write(part, self._network.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._network.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


_PART = 1 << 16


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
