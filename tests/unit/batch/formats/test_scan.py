"""Where records begin and end, held against Python's own reader of CSV."""

from __future__ import annotations

import csv
import io
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fivefold.batch.formats import scan


def cut(data: bytes, *, quotes: bool, block: int = scan.BLOCK, start: int = 0) -> list[tuple[int, bytes, int, bool]]:
    """Every record: its place in the file, its bytes, its line from 0, whether it is broken."""
    found = []
    stream = io.BytesIO(data)
    stream.seek(start)
    line = data[:start].count(b"\n")
    with mock.patch.object(scan, "BLOCK", block):
        for each in scan.blocks(stream, quotes=quotes, offset=start):
            for begin, end, lines, broken in zip(each.starts, each.ends, each.lines, each.broken, strict=True):
                record = each.data[begin:end]
                found.append((each.offset + int(begin), record, line + int(lines), bool(broken)))
            line += each.newlines
    return found


text = st.text(st.sampled_from('ab,"\r\n é'), max_size=60)
cells = st.lists(
    st.lists(st.text(st.sampled_from('ab, "\né'), max_size=5), min_size=2, max_size=3), min_size=1, max_size=6
)


@given(cells, st.integers(1, 9), st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_a_writer_of_csv_has_written_is_cut_as_it_was(
    rows: list[list[str]], block: int, end: str, quoting: int
) -> None:
    """Whatever stands in quotes, and whatever is read at a time, each row is one record, and none is broken."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]  # one of csv's constants
    written = []
    for row in rows:
        before = out.tell()
        writer.writerow(row)
        written.append(out.getvalue()[before:].encode())
    data = b"".join(written)

    found = cut(data, quotes=True, block=block)

    assert [record for _, record, _, _ in found] == written
    assert not any(broken for *_, broken in found)
    assert [line for _, _, line, _ in found] == [data[:at].count(b"\n") for at, *_ in found]


@given(text, st.integers(1, 9))
@example('a"b,c\n"d\ne,f\n', 1)
@example('"a"b\n"c\n"', 2)
@example('"a\r', 1)
@example('""\r\n"\r\n', 1)
def test_what_is_read_at_a_time_changes_nothing(content: str, block: int) -> None:
    """Broken quotes included: the records of a file are those of its bytes."""
    data = content.encode()

    assert cut(data, quotes=True, block=block) == cut(data, quotes=True)
    assert cut(data, quotes=False, block=block) == cut(data, quotes=False)


@given(text)
def test_reading_from_the_beginning_of_any_record_gives_the_same_records(content: str) -> None:
    """So a file may be cut before any record."""
    data = content.encode()
    whole = cut(data, quotes=True)

    for index, (at, *_) in enumerate(whole):
        assert cut(data, quotes=True, start=at) == whole[index:]


@given(text)
def test_nothing_is_lost_but_empty_lines(content: str) -> None:
    """Records follow each other, and what lies between them is line ends."""
    data = content.encode()
    at = 0
    for start, record, _, _ in cut(data, quotes=True):
        assert not data[at:start].strip(b"\r\n")
        assert data[start : start + len(record)] == record
        at = start + len(record)
    assert not data[at:].strip(b"\r\n")


@given(text)
def test_records_that_are_not_broken_are_python_s(content: str) -> None:
    """Where Python's strict reader reads the whole text, it finds as many rows, and no record is broken."""
    content = content.replace("\r\n", "\n").replace("\r", "")
    try:
        rows = [row for row in csv.reader(io.StringIO(content, newline=""), strict=True) if row]
    except csv.Error:
        return

    found = cut(content.encode(), quotes=True)
    assert not any(broken for *_, broken in found)
    assert len(found) == len(rows)


@pytest.mark.parametrize(
    ("content", "records"),
    [
        # A quote that is never closed breaks its own line alone.
        (b'1,"a\n2,b\n3,c\n', [(b'1,"a\n', True), (b"2,b\n", False), (b"3,c\n", False)]),
        # So does one whose text would end somewhere in another row.
        (b'1,"a\n2,"b"\n3,c\n', [(b'1,"a\n', True), (b'2,"b"\n', False), (b"3,c\n", False)]),
        (b'1,"a"x\n2,b\n', [(b'1,"a"x\n', True), (b"2,b\n", False)]),
        # A quote inside of a cell that does not begin with one is a quote.
        (b'5" pipe,1\n2,b\n', [(b'5" pipe,1\n', False), (b"2,b\n", False)]),
        (b'1,"a\nb"\n2,c\n', [(b'1,"a\nb"\n', False), (b"2,c\n", False)]),
        (b"\n\r\n1,a\n\n2,b", [(b"1,a\n", False), (b"2,b", False)]),
    ],
)
def test_quotes_that_are_not_in_order(content: bytes, records: list[tuple[bytes, bool]]) -> None:
    """Only the line that a bad quote begins in is lost."""
    assert [(record, broken) for _, record, _, broken in cut(content, quotes=True)] == records


def test_a_line_that_is_too_long_is_passed_over() -> None:
    """It is one broken record, of which a part is kept; the next one stands where it stands."""
    data = b"1\n" + b"x" * 5000 + b"\n2\n"
    with mock.patch.object(scan, "MAX_LINE", 1000):
        found = cut(data, quotes=False, block=100)

    assert [(at, broken) for at, _, _, broken in found] == [(0, False), (2, True), (5003, False)]
    assert [line for _, _, line, _ in found] == [0, 1, 2]


def test_quoted_text_that_is_too_long_breaks_its_line() -> None:
    """However far away the end of it is: what is read at a time does not decide."""
    data = b'1,"' + b"x\n" * 600 + b'"\n2,b\n'
    with mock.patch.object(scan, "MAX_QUOTED", 1000):
        some, all_at_once = cut(data, quotes=True, block=64), cut(data, quotes=True)

    assert some == all_at_once
    assert [record for _, record, _, broken in some if broken] == [b'1,"x\n', b'"\n']
    assert len(some) == 1 + 599 + 1 + 1
