from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from pathlib import Path

import pytest

from fivefold.cluster import certificate

HOSTS = ("localhost", "127.0.0.1", "*.scores.test")
NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def serve_once(directory: Path, made: certificate.Certificate) -> tuple[int, threading.Thread]:
    """A TLS server for one connection, on a port of its own."""
    (directory / "chain.pem").write_bytes(made.chain)
    (directory / "key.pem").write_bytes(made.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with listener, listener.accept()[0] as connection:
            try:
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.sendall(b"hello")
            except (ssl.SSLError, OSError):
                return

    thread = threading.Thread(target=answer)
    thread.start()
    return listener.getsockname()[1], thread


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "a.scores.test"])
def test_who_trusts_the_authority_gets_through_to_every_host(tmp_path: Path, host: str) -> None:
    """Names, addresses and wildcards, with every check of the standard library on."""
    made = certificate.make(HOSTS)
    port, thread = serve_once(tmp_path, made)
    context = ssl.create_default_context(cadata=made.authority.decode())
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname=host) as secured,
    ):
        assert secured.recv(5) == b"hello"
    thread.join()


@pytest.mark.parametrize(("host", "other"), [("elsewhere.test", False), ("localhost", True)])
def test_another_host_or_another_authority_is_refused(tmp_path: Path, host: str, other: bool) -> None:
    """A name that is not in it, and an authority that has not signed it."""
    made = certificate.make(HOSTS)
    port, thread = serve_once(tmp_path, made)
    trusted = certificate.make(HOSTS) if other else made
    context = ssl.create_default_context(cadata=trusted.authority.decode())
    with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(raw, server_hostname=host)
    thread.join()


def test_it_stands_until_its_end_is_near() -> None:
    """Replaced in its last days, and never again at once."""
    chain = certificate.make(HOSTS, NOW).chain
    near = certificate.VALID - certificate.RENEWED

    assert certificate.stands(chain, HOSTS, NOW)
    assert certificate.stands(chain, tuple(reversed(HOSTS)), NOW + near - dt.timedelta(days=1))
    assert not certificate.stands(chain, HOSTS, NOW + near + dt.timedelta(days=1))
    assert not certificate.stands(chain, HOSTS[:2], NOW)


def test_what_is_no_certificate_does_not_stand() -> None:
    """A Secret that somebody has made by hand, and wrongly."""
    assert not certificate.stands(b"", HOSTS)
    assert not certificate.stands(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", HOSTS)
