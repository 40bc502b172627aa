"""Numbers of commits come back as they were written, and only to whom they are of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fivefold.stream.dead_letters import DEAD
from fivefold.stream.events import Outgoing
from fivefold.stream.identity import PREFIX
from fivefold.stream.kafka_commits import CommitNumbers

RESULT = ((f"{PREFIX}source", b"in/0/1"),)

groups = st.text(min_size=1, max_size=20)
clusters = st.text("abcXYZ019_-", min_size=1, max_size=22)
numbers = st.integers(1, 2**62)


@given(groups, clusters, numbers)
def test_they_come_back(group: str, cluster: str, number: int) -> None:
    """From an offset's metadata, a result's header and a dead letter's."""
    own = CommitNumbers(group, cluster)
    dead = ((f"{DEAD}source", b"in/0/1"), (f"{PREFIX}commit", b"7 of another worker"))
    marked = own.marked(
        [Outgoing("out", None, b"", RESULT, None, 0), Outgoing("dead", None, b"", dead, None, 0)], {0: number}
    )

    assert own.of_metadata(own.metadata(number)) == number
    for each in marked:
        assert own.of_headers({name: value or b"" for name, value in each.headers}) == number


@given(groups, groups, clusters, clusters, numbers)
def test_anothers_are_none(group: str, other: str, cluster: str, elsewhere: str, number: int) -> None:
    """Of another group, or of another cluster."""
    own, foreign = CommitNumbers(group, cluster), CommitNumbers(other, elsewhere)
    (marked,) = foreign.marked([Outgoing("out", None, b"", RESULT, None, 0)], {0: number})
    headers = {name: value or b"" for name, value in marked.headers}

    assert own.of_headers(headers) == (number if (group, cluster) == (other, elsewhere) else 0)
    assert own.of_metadata(foreign.metadata(number)) == (number if cluster == elsewhere else 0)


@given(st.none() | st.text(), st.binary())
def test_what_is_no_number_is_none(metadata: str | None, header: bytes) -> None:
    """Whatever somebody has written there."""
    own = CommitNumbers("g", "c")
    assert own.of_metadata(metadata) == 0 or (metadata or "").startswith("fivefold ")
    assert own.of_headers({f"{PREFIX}commit": header}) == 0 or header.endswith(b" c g")


def test_the_last_of_each_partition_and_topic_is_marked() -> None:
    """And nothing else is, nor what is in no partition of these, or no result of anything."""
    places = (0, 1, 0, None, 2)
    sent = [Outgoing(topic, None, b"", RESULT, None, place) for topic in ("out", "dead") for place in places]
    marked = CommitNumbers("g", "c").marked([*sent, Outgoing("else", None, b"", (), None, 0)], {0: 5, 1: 6})

    assert [at for at, each in enumerate(marked) if len(each.headers) > 1] == [1, 2, 6, 7]
    assert [each.headers[1][1] for each in marked if len(each.headers) > 1] == [b"6 c g", b"5 c g"] * 2
    assert marked[-1].headers == ()


def test_a_number_is_above_the_last_one() -> None:
    """Whatever the clock says."""
    first = CommitNumbers.after(0)

    assert first > 1_700_000_000_000
    assert CommitNumbers.after(first + 10**9) == first + 10**9 + 1
