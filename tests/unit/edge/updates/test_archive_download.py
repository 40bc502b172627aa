from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivefold.core.errors import BundleInvalid, Interrupted, RunFailed, Unavailable
from fivefold.edge.updates.archive_download import ATTEMPTS, download_archive
from fivefold.edge.updates.descriptor import ArchiveChunks

ARCHIVE = bytes(index * 7 % 251 for index in range(5000))
CHUNKS = ArchiveChunks.of(ARCHIVE, 1024)


def pieces(start: int, *, stop: int | None = None, size: int = 300, archive: bytes = ARCHIVE) -> Iterator[bytes]:
    for at in range(start, len(archive) if stop is None else stop, size):
        yield archive[at : min(at + size, len(archive) if stop is None else stop)]


def fetch(part: Path, bytes_from: Callable[[int], Iterator[bytes]], **given: Any) -> list[float]:
    pauses: list[float] = []
    download_archive(CHUNKS, part, bytes_from, **{"pause": pauses.append, "reserve": 0, **given})
    return pauses


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "archive.part"


def test_it_comes_in_one_request(part: Path) -> None:
    starts: list[int] = []

    assert fetch(part, lambda start: starts.append(start) or pieces(start)) == []
    assert part.read_bytes() == ARCHIVE
    assert starts == [0]


def test_a_download_that_breaks_off_goes_on_behind_its_last_good_chunk(part: Path) -> None:
    starts: list[int] = []

    def torn(start: int) -> Iterator[bytes]:
        starts.append(start)
        yield from pieces(start, stop=min(start + 1500, len(ARCHIVE)))
        raise Unavailable("not_ready", "gone")

    pauses = fetch(part, torn)

    assert part.read_bytes() == ARCHIVE
    assert starts == [0, 1024, 2048, 3072, 4096]
    assert len(pauses) == 4


def test_a_later_process_goes_on_after_a_look_at_what_is_there(part: Path) -> None:
    part.write_bytes(ARCHIVE[:2048] + b"rot" + ARCHIVE[2051:3000])
    starts: list[int] = []
    fetch(part, lambda start: starts.append(start) or pieces(start))

    assert starts == [2048]
    assert part.read_bytes() == ARCHIVE
    starts.clear()
    part.write_bytes(ARCHIVE + b"behind its end")
    fetch(part, lambda start: starts.append(start) or pieces(start))
    assert starts == []
    assert part.read_bytes() == ARCHIVE


def test_a_corrupted_chunk_is_asked_for_again(part: Path) -> None:
    asked: list[int] = []

    def once(start: int) -> Iterator[bytes]:
        asked.append(start)
        bad = bytearray(ARCHIVE)
        if len(asked) == 1:
            bad[2100] ^= 1
        yield from pieces(start, archive=bytes(bad))

    fetch(part, once)

    assert asked == [0, 2048]
    assert part.read_bytes() == ARCHIVE


def test_a_server_that_lies_is_given_up_and_nothing_of_it_is_kept(part: Path) -> None:
    asked: list[int] = []

    def lying(start: int) -> Iterator[bytes]:
        asked.append(start)
        yield from pieces(start, archive=ARCHIVE[:2048] + bytes(5000))

    with pytest.raises(BundleInvalid, match="chunk 2: expected sha256"):
        fetch(part, lying)
    assert asked == [0] + [2048] * ATTEMPTS
    assert part.read_bytes() == ARCHIVE[:2048]


@pytest.mark.parametrize("body", [b"", ARCHIVE[:1000]], ids=["nothing", "less than a chunk"])
def test_a_truncated_archive_ends_too_early(part: Path, body: bytes) -> None:
    with pytest.raises(Unavailable, match="ended before its end"):
        fetch(part, lambda start: iter([body[start:]]))


def test_more_than_was_asked_for_is_not_written(part: Path) -> None:
    def endless(start: int) -> Iterator[bytes]:
        yield from pieces(start)
        while True:
            yield bytes(1000)

    fetch(part, endless)

    assert part.read_bytes() == ARCHIVE


def test_a_pause_that_is_asked_for_is_kept_or_left_to_the_next_look(part: Path) -> None:
    asked: list[int] = []

    def busy(seconds: float) -> Callable[[int], Iterator[bytes]]:
        def answer(start: int) -> Iterator[bytes]:
            asked.append(start)
            if len(asked) == 1:
                raise Unavailable("overloaded", "busy", retry_after=seconds)
            yield from pieces(start)

        return answer

    assert fetch(part, busy(7)) == [7]
    asked.clear()
    part.unlink()
    with pytest.raises(Unavailable, match="busy"):
        fetch(part, busy(3600))


def test_what_waits_for_the_network_keeps_its_room(part: Path) -> None:
    with pytest.raises(RunFailed, match="free") as caught:
        fetch(part, pieces, reserve=1 << 60)
    assert caught.value.code == "storage_failed"


def test_a_full_disk_is_left_as_it_was(part: Path) -> None:
    """The room ends while it downloads: by a limit on the size of this process's files, which is met as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(RunFailed, match="File too large") as caught:
            fetch(part, pieces)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "storage_failed"
    assert not part.exists()


def test_a_link_is_not_followed(part: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    part.symlink_to(victim)

    with pytest.raises(RunFailed):
        fetch(part, pieces)
    assert victim.read_bytes() == b"mine"


def test_it_ends_when_it_is_asked_to_and_goes_on_later(part: Path) -> None:
    looks = iter(range(1000))

    def check() -> None:
        if next(looks) > 12:
            raise Interrupted("cancelled", "the gateway ends")

    with pytest.raises(Interrupted):
        fetch(part, pieces, check=check)
    starts: list[int] = []
    fetch(part, lambda start: starts.append(start) or pieces(start))
    assert 0 < starts[0] < len(ARCHIVE)
    assert part.read_bytes() == ARCHIVE


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(1, 5000),
    chunk=st.sampled_from((1024, 1500, 8192)),
    cuts=st.lists(st.integers(1, 3000), max_size=8),
    flips=st.lists(st.integers(0, 4999), max_size=8),
)
def test_whatever_the_network_does_it_is_the_archive_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, size: int, chunk: int, cuts: list[int], flips: list[int]
) -> None:
    archive = ARCHIVE[:size]
    chunks = ArchiveChunks.of(archive, chunk)
    part = tmp_path_factory.mktemp("part") / "archive.part"

    def bad(start: int) -> Iterator[bytes]:
        body = bytearray(archive)
        if flips:
            body[flips.pop() % size] ^= 0x40
        stop = min(size, start + cuts.pop()) if cuts else size
        yield from pieces(start, stop=stop, archive=bytes(body))

    try:
        download_archive(chunks, part, bad, reserve=0, pause=lambda seconds: None)
    except (Unavailable, BundleInvalid):
        whole = len(part.read_bytes()) // chunk
        assert part.read_bytes() == archive[: whole * chunk]
    else:
        assert part.read_bytes() == archive
