"""Where a member begins in a partition that it is given: at what its group has done, and nowhere by a guess.

A coordinator that has only begun to read its log may answer already, that a group has done nothing or less than it has
(Kafka 4.3.1 does, where two loads of one partition overlap: "Ignored load completion"). Left to the client, the
partition would then be read from its beginning, and everything scored twice. So what the coordinator says is held
against what else is known: what this process has seen done, and the results and dead letters that are there. Where they
contradict, it is asked again for a while. Then what is proven counts (`kafka_commits`), offsets that somebody has set
are believed, and either is told; of what is neither, the worker ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from fivefold.core.errors import FivefoldError, RunFailed, Unavailable
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.dead_letters import DEAD
from fivefold.stream.identity import PREFIX
from fivefold.stream.kafka_cluster import CALL_SECONDS, event_of, watermarks
from fivefold.stream.kafka_commits import CommitNumbers
from fivefold.stream.kafka_errors import KafkaErrors

DOUBT_SECONDS: Final = 15.0
"""How long a coordinator is asked again that contradicts what else is known: a load of its log takes seconds."""

TAILS: Final = (64, 4_096, 262_144)
"""Offsets at the end of a partition among which the last result is looked for, one number after the other: ends of
transactions have some, and events of transactions that were taken back, of which there may be many."""

LOOK_SECONDS: Final = 5.0
"""How long looking for it may take: it is a second proof, and a broker that is slow is no reason to stand still."""


@dataclass(frozen=True, slots=True, order=True)
class LastWritten:
    """The last thing that a group has written of a partition; the later of two is the greater."""

    number: int = 0
    """Of its commit; 0 where it has none."""

    behind: int = 0
    """The offset behind the event that it is of."""

    topic: str = ""


NOTHING: Final = LastWritten()


@dataclass(frozen=True, slots=True)
class Written:
    """Where results and dead letters are; empty topics where their partitions are not those of the events."""

    connection: Mapping[str, Any]
    group: str
    numbers: CommitNumbers
    topics: Sequence[str] = ()

    def last(self, source: str, partitions: Iterable[int]) -> dict[int, LastWritten]:
        """For each partition of `source` of which the same partitions here have something at their ends, the last of
        it. What is not told soon is left out.
        """
        wanted = set(partitions)
        if not self.topics or not wanted:
            return {}
        consumer = Consumer(
            {
                **self.connection,
                # Never joined: without a subscription there is no member.
                "group.id": "fivefold-written",
                "enable.auto.commit": "false",
                "isolation.level": "read_committed",
                "enable.partition.eof": "true",
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": "10",
            }
        )
        found: dict[int, LastWritten] = {}
        try:
            with contextlib.suppress(KafkaException):
                self._look(consumer, source, wanted, found)
        finally:
            consumer.close()
        return found

    def _look(self, consumer: Consumer, source: str, wanted: set[int], found: dict[int, LastWritten]) -> None:
        until = time.monotonic() + LOOK_SECONDS
        left = [(topic, partition) for topic in self.topics for partition in sorted(wanted)]
        for tail in TAILS:
            places: list[TopicPartition] = []
            for topic, partition in left:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), LOOK_SECONDS)
                if low < high:
                    places.append(TopicPartition(topic, partition, max(low, high - tail)))
            if not places:
                return
            seen = self._read(consumer, source, places, found, until)
            left = [(each.topic, each.partition) for each in places if (each.topic, each.partition) not in seen]
            if tail == TAILS[-2]:
                # Far back only for those of which nothing is found: others' dead letters may fill a topic.
                left = [each for each in left if each[1] not in found]

    def _read(
        self,
        consumer: Consumer,
        source: str,
        places: list[TopicPartition],
        found: dict[int, LastWritten],
        until: float,
    ) -> set[tuple[str, int]]:
        """Read from there to the ends; the places that have something."""
        seen: set[tuple[str, int]] = set()
        consumer.assign(places)
        left = {(place.topic, place.partition) for place in places}
        while left and time.monotonic() < until:
            for message in consumer.consume(1000, 0.5):
                partition, topic = message.partition() or 0, message.topic() or ""
                if message.error() is not None:
                    left.discard((topic, partition))
                    continue
                # Whoever else writes there may name headers as the client cannot read them.
                headers = event_of(message, topic).headers
                values = {name: value for name, value in headers if isinstance(value, bytes)}
                behind = _behind(values, f"{source}/{partition}/".encode(), self.group)
                if behind:
                    seen.add((topic, partition))
                    last = LastWritten(self.numbers.of_headers(values), behind, topic)
                    found[partition] = max(last, found.get(partition, NOTHING))
        return seen


def _behind(headers: Mapping[str, bytes], place: bytes, group: str) -> int:
    """The offset behind the event that a record is of, 0 where it is of none of that place (TOPIC/PARTITION/).

    Another group's dead letter is of none: groups that read one topic share its dead letters, unless told otherwise.
    """
    source = headers.get(f"{DEAD}source", headers.get(f"{PREFIX}source", b""))
    if not source.startswith(place) or headers.get(f"{DEAD}group", group.encode()) != group.encode():
        return 0
    offset = source[len(place) :]
    return int(offset) + 1 if offset.isdigit() else 0


class Positions:
    """Where the partitions of one member begin, and what it knows of them."""

    def __init__(self, consumer: Consumer, group: str, start: int, written: Written, errors: KafkaErrors) -> None:
        """`start` is where a group begins that has done nothing: `OFFSET_BEGINNING` or `OFFSET_END`."""
        self._consumer, self._group, self._start = consumer, group, start
        self._written, self._errors = written, errors
        self._address: TopicAddress = errors.address
        self._known: dict[int, int] = {}
        """Behind what this process has seen done, whoever has the partition by now."""
        self._numbers: dict[int, int] = {}
        """The last number of each partition that was given or seen."""

    def numbered(self, partitions: Iterable[int]) -> dict[int, int]:
        """A new number for a commit of each."""
        new = {each: CommitNumbers.after(self._numbers.get(each, 0)) for each in partitions}
        self._numbers |= new
        return new

    def done(self, positions: Mapping[int, int]) -> None:
        """Take note of what the group has done."""
        for partition, offset in positions.items():
            self._known[partition] = max(offset, self._known.get(partition, 0))

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """What the coordinator says that the group has done, for partitions of which it says anything.

        Raises what `errors` has heard, and as it says of others.
        """
        return {each.partition: each.offset for each in self._told(partitions)}

    def _told(self, partitions: Iterable[int]) -> list[TopicPartition]:
        places = [TopicPartition(self._address.topic, partition) for partition in sorted(partitions)]
        until = time.monotonic() + CALL_SECONDS
        while True:
            try:
                found = self._consumer.committed(places, CALL_SECONDS)
                failed = next((each.error for each in found if each.error is not None), None)
                if failed is None:
                    return [each for each in found if each.offset >= 0]
            except KafkaException as err:
                failed = err.args[0]
                if failed.code() == KafkaError.GROUP_ID_NOT_FOUND:
                    return []
            self._errors.check()
            if time.monotonic() >= until:
                raise self._untold(failed, places)
            time.sleep(0.05)

    def begin(self, partitions: Iterable[int], origin: Mapping[int, int]) -> list[TopicPartition]:
        """Where to read on. `origin` are the first events that were polled of partitions of which nothing is done.

        Raises `RunFailed` (`run_conflict`) where nothing can be believed, and what `committed` raises.
        """
        wanted = sorted(set(partitions))
        written = self._written.last(self._address.topic, wanted)
        until = time.monotonic() + DOUBT_SECONDS
        while True:
            told = self._told(wanted)
            said = {each.partition: each.offset for each in told}
            numbers = {each.partition: self._written.numbers.of_metadata(each.metadata) for each in told}
            ends = {each: watermarks(self._consumer, self._place(each), self._errors) for each in said}
            doubts = [each for each in wanted if self._is_doubtful(each, said, numbers, ends, written)]
            if not doubts or time.monotonic() >= until:
                break
            self._errors.waiting.check()
            time.sleep(0.25)
        out = []
        for each in wanted:
            last = written.get(each, NOTHING)
            # What this process has seen is older than an offset with a later number: the group was set back since.
            known = self._known.get(each, 0) if self._numbers.get(each, 0) > numbers.get(each, 0) else 0
            self._numbers[each] = max(self._numbers.get(each, 0), numbers.get(each, 0), last.number)
            if each not in said:
                offset = self._anew(each, origin, last)
            elif each in doubts and numbers[each]:
                proven = last.behind if last.number > numbers[each] else 0
                offset = self._lost(each, said[each], ends[each], last, max(proven, known))
            else:
                offset = self._on(each, said[each], ends[each], last, each in doubts)
            out.append(self._place(each, offset))
        self.done(said)
        return out

    def _place(self, partition: int, offset: int | None = None) -> TopicPartition:
        place = TopicPartition(self._address.topic, partition)
        if offset is not None:
            place.offset = offset
        return place

    def _is_doubtful(
        self,
        partition: int,
        said: Mapping[int, int],
        numbers: Mapping[int, int],
        ends: Mapping[int, tuple[int, int]],
        written: Mapping[int, LastWritten],
    ) -> bool:
        last, number = written.get(partition, NOTHING), numbers.get(partition, 0)
        least = self._known.get(partition, 0)
        # What was written before the offset was committed says nothing of it: the group may have been set back since.
        if not 0 < last.number <= number:
            least = max(least, last.behind)
        return said.get(partition, 0) < least or (partition in said and said[partition] > ends[partition][1])

    def _anew(self, partition: int, origin: Mapping[int, int], last: LastWritten) -> int:
        """Of a partition in which the group is said to have done nothing."""
        if known := self._known.get(partition, 0):
            raise self._contradiction(partition, "nothing", known)
        if last.behind and self._start == OFFSET_BEGINNING:
            raise RunFailed(
                "run_conflict",
                f"the group {self._group!r} has done nothing of partition {partition} of {self._address.topic!r}, and "
                f"{last.topic!r} has results of it up to offset {last.behind - 1}: they would come twice",
                help="its offsets have been deleted, or are older than offsets.retention.minutes, or the results are "
                f"another group's; say where it goes on: kafka-consumer-groups --group {self._group} --topic "
                f"{self._address.topic}:{partition} --reset-offsets --to-offset {last.behind} --execute "
                "(--to-earliest: all results once more)",
            )
        return origin.get(partition, self._start)

    def _lost(self, partition: int, said: int, ends: tuple[int, int], last: LastWritten, proven: int) -> int:
        """Of a partition whose coordinator says less than what is proven, with an offset that nobody has set."""
        if not said < proven <= ends[1]:
            return self._on(partition, said, ends, last, doubtful=True)
        self._errors.waiting.notice(
            f"partition {partition} of {self._address.topic!r} is read on from offset {proven:,}: the cluster says "
            f"{said:,}, and has lost what was committed after that; the results are there"
        )
        self.done({partition: proven})
        return max(proven, ends[0])

    def _on(self, partition: int, said: int, ends: tuple[int, int], last: LastWritten, doubtful: bool) -> int:
        """Of a partition in which the group is said to have come to `said`."""
        low, high = ends
        place = f"partition {partition} of {self._address.topic!r}"
        if doubtful and said < self._known.get(partition, 0):
            raise self._contradiction(partition, f"{said:,}", self._known[partition])
        if said > high:
            raise RunFailed(
                "run_conflict",
                f"the group {self._group!r} has come to offset {said:,} of {place}, which ends at {high:,}: it was "
                "truncated, or made anew",
                help=f"say where it goes on: kafka-consumer-groups --group {self._group} --reset-offsets …",
            )
        if doubtful:
            self._errors.waiting.notice(
                f"{place} is read again from offset {said:,}, as the group's offsets say, although "
                f"{last.topic!r} has results of it up to {last.behind - 1:,}"
            )
        if said < low:
            self._errors.waiting.notice(f"{low - said:,} events of {place} were deleted before they were read")
        return max(said, low)

    def _untold(self, error: KafkaError, places: Sequence[TopicPartition]) -> FivefoldError:
        """Nothing was told: no broker, or one that answers everything else. Progress that is a part of a transaction is
        told when that has ended, and a broker that was killed may have forgotten to end one."""
        if error.code() != KafkaError._TIMED_OUT:
            return self._errors.refusal(error)
        try:
            for each in places:
                self._consumer.get_watermark_offsets(each, LOOK_SECONDS)
        except KafkaException:
            return self._errors.refusal(error)
        numbers = ", ".join(str(each.partition) for each in places)
        return Unavailable(
            "not_ready",
            f"the cluster does not tell how far the group {self._group!r} has come in {self._address.topic!r}, "
            f"partitions {numbers}, although it answers",
            help="a transaction with the group's offsets has not ended: kafka-transactions find-hanging --broker-id N "
            "looks for it; a restart of the group's coordinator may end it",
            retry_after=5.0,
        )

    def _contradiction(self, partition: int, said: str, known: int) -> RunFailed:
        return RunFailed(
            "run_conflict",
            f"the group {self._group!r} is said to have come to {said} of partition {partition} of "
            f"{self._address.topic!r}, and this worker has seen {known:,} done",
            help="the cluster has lost what was committed; look at the group, and start the worker again to go on "
            "from what it says",
        )
