"""A listening socket that outlives the process which answers on it."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.http_calls import log_lines

from fivefold.serving import handover
from fivefold.serving.handover import HandOver, take_over


def bound() -> socket.socket:
    out = socket.socket()
    out.bind(("127.0.0.1", 0))
    return out


def answer(listener: socket.socket, text: bytes) -> None:
    """Take one connection and say something."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(text)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


_TAKER = """
import sys
from fivefold.serving.handover import take_over
listener = take_over(sys.argv[1])
listener.listen()
connection, _ = listener.accept()
connection.sendall(b"from another process")
"""


def test_who_comes_between_two_processes_waits_for_the_second(tmp_path: Path) -> None:
    """The first one listens, answers once and ends; the connection made after that is answered by the next taker."""
    kept = bound()
    port = kept.getsockname()[1]
    hand_over = HandOver(kept, tmp_path / "s")
    with subprocess.Popen([sys.executable, "-c", _TAKER, str(tmp_path / "s")]) as first:
        while True:
            try:
                early = connected(port)
                break
            except ConnectionRefusedError:
                assert first.poll() is None
        with early:
            assert early.recv(100) == b"from another process"
        assert first.wait(20) == 0

    with connected(port) as waiting, take_over(str(tmp_path / "s")) as listener:
        answer(listener, b"from the next one")
        said = waiting.recv(100)
    hand_over.close()

    assert said == b"from the next one"


def test_the_port_is_free_when_owner_and_taker_have_closed(tmp_path: Path) -> None:
    """As long as one of them has it, nobody else gets it."""
    kept = bound()
    address = kept.getsockname()
    hand_over = HandOver(kept, tmp_path / "s")
    with take_over(str(tmp_path / "s")) as listener:
        listener.listen()
        hand_over.close()
        hand_over.close()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
        with connected(address[1]) as client:
            answer(listener, b"still")
            assert client.recv(100) == b"still"

    with pytest.raises(ConnectionRefusedError):
        connected(address[1])


def test_nothing_can_be_taken_over_from_an_owner_that_is_gone(tmp_path: Path) -> None:
    hand_over = HandOver(bound(), tmp_path / "s")
    hand_over.close()

    with pytest.raises(FileNotFoundError):
        take_over(str(tmp_path / "s"))


def test_a_desk_that_hangs_up_without_a_word_is_an_error(tmp_path: Path) -> None:
    """The replica does not come up, instead of answering nobody."""
    with socket.socket(socket.AF_UNIX) as desk:
        desk.bind(str(tmp_path / "s"))
        desk.listen()
        turning_away = threading.Thread(target=lambda: desk.accept()[0].close())
        turning_away.start()

        with pytest.raises(ConnectionError, match="handed over no socket"):
            take_over(str(tmp_path / "s"))
        turning_away.join()


def test_an_accept_that_failed_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there was no descriptor left for a moment: the next taker is served, and the log has said it."""
    monkeypatch.setattr(handover, "AGAIN_SECONDS", 0.01)
    failed = threading.Event()

    class Desk:
        """A socket whose first accepts fail."""

        def __init__(self, real: socket.socket) -> None:
            self._real, self.left = real, 3

        def accept(self) -> tuple[socket.socket, object]:
            if self.left:
                self.left -= 1
                failed.set()
                raise OSError(24, "Too many open files")
            return self._real.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    made = socket.socket

    def desk(*given: int) -> object:
        return Desk(made(*given)) if given == (socket.AF_UNIX,) else made(*given)

    kept = bound()
    with monkeypatch.context() as patch, log_lines() as lines:
        patch.setattr(handover.socket, "socket", desk)
        hand_over = HandOver(kept, tmp_path / "s")
        assert failed.wait(10)
        patch.undo()
        with take_over(str(tmp_path / "s")) as listener:
            assert listener.getsockname() == kept.getsockname()
        hand_over.close()

    assert [(line["event"], line["level"]) for line in lines] == [("handover", "error")] * 3
