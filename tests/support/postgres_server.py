"""A Postgres of its own for a test run, in a temporary directory and on a free port."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

_count = itertools.count()


def _user() -> str | None:
    """Whom it runs as: it refuses root."""
    return "nobody" if os.geteuid() == 0 else None


@contextlib.contextmanager
def postgres_server(program: str) -> Iterator[PostgresServer]:
    """A server that is gone with the `with`; `program` is the path of `postgres`, beside which `initdb` lies."""
    made = PostgresServer(program)
    try:
        made.start()
        yield made
    finally:
        made.close()


class PostgresServer:
    """One server; it may be stopped and started again."""

    def __init__(self, program: str) -> None:
        self._program = Path(program)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self._home = Path(tempfile.mkdtemp(prefix="fivefold-postgres-"))
        self._user = _user()
        if self._user is not None:
            os.chown(self._home, pwd.getpwnam(self._user).pw_uid, -1)
        self._process: subprocess.Popen[bytes] | None = None
        initdb = self._program.with_name("initdb")
        self._run(str(initdb), "-D", str(self._home / "data"), "-U", "hub", "--auth=trust", "--no-sync", "-E", "UTF8")

    def _run(self, *words: str) -> None:
        subprocess.run(words, check=True, capture_output=True, user=self._user, cwd=self._home)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self._home)}
        words = [str(self._program), "-D", str(self._home / "data")]
        for name, value in options.items():
            words += ["-c", f"{name}={value}"]
        log = (self._home / "log").open("ab")
        self._process = subprocess.Popen(words, stdout=log, stderr=log, user=self._user, cwd=self._home)
        log.close()
        for _ in range(600):
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=1).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.05)
        raise RuntimeError((self._home / "log").read_text())

    def stop(self) -> None:
        """Break every connection, as a crash would: SIGQUIT is its immediate shutdown."""
        if self._process is not None:
            self._process.send_signal(3)
            self._process.wait(30)
            self._process = None

    def url(self, name: str) -> str:
        """The address of one of its databases."""
        return f"postgres://hub@127.0.0.1:{self.port}/{name}"

    def database(self) -> str:
        """The address of a new and empty database."""
        name = f"hub{next(_count)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def close(self) -> None:
        """Stop it, and remove what it has written."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)
