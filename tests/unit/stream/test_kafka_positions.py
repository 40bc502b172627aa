"""Where a member begins: what a coordinator says, held against what is known otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from tests.support.event_logs import KafkaLogs, owning, polled

from fivefold.core.errors import RunFailed, Unavailable
from fivefold.stream import kafka_positions
from fivefold.stream.dead_letters import DEAD
from fivefold.stream.events import Event, Outgoing
from fivefold.stream.identity import PREFIX
from fivefold.stream.kafka_log import KafkaLog
from fivefold.stream.kafka_settings import KafkaSettings
from fivefold.stream.log_waiting import LogWait

PARTITION = 1


class Group:
    """A group on one partition with events in it, whose members tell what they notice."""

    def __init__(self, kafka: str) -> None:
        self.logs = KafkaLogs(kafka)
        self.admin = AdminClient({"bootstrap.servers": kafka})
        self.topic, self.out = self.logs.prefix + "in", self.logs.prefix + "out"
        self.name = self.logs.prefix + "g"
        self.noticed: list[str] = []
        self.members: list[KafkaLog] = []

    def events(self, count: int) -> None:
        """So many further events."""
        self.logs.append("in", [Outgoing("in", None, b"{}", partition=PARTITION)] * count)

    def member(self, slot: str = "0", start: str = "earliest", same_partition: bool = True) -> KafkaLog:
        """One more member."""
        made = KafkaLog(
            self.logs.address("in"),
            self.name,
            slot,
            KafkaSettings(),
            to=[self.out],
            start=start,
            same_partition=same_partition,
            waiting=LogWait(notice=self.noticed.append),
        )
        self.members.append(made)
        return made

    def come_to(self, offset: int, metadata: str = "") -> None:
        """What `kafka-consumer-groups --reset-offsets --to-offset` does; nobody has joined yet. With the `metadata` of
        a commit it is what a coordinator says that has lost those behind it."""
        place = TopicPartition(self.topic, PARTITION, offset, metadata=metadata)
        self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name, [place])])[self.name].result(
            20
        )

    def told(self) -> TopicPartition:
        """What the coordinator says of the group."""
        asked = ConsumerGroupTopicPartitions(self.name, [TopicPartition(self.topic, PARTITION)])
        (found,) = self.admin.list_consumer_group_offsets([asked])[self.name].result(20).topic_partitions
        return found

    def leave(self) -> None:
        """All members go, and the group forgets them."""
        while self.members:
            self.members.pop().close()
        until = time.monotonic() + 60
        while self.admin.describe_consumer_groups([self.name])[self.name].result(20).members:
            assert time.monotonic() < until

    def scored(self, count: int) -> None:
        """Results of the first events, by whomever."""
        self.logs.append("out", [self.result(self.topic, at) for at in range(count)])

    def result(self, topic: str, offset: int) -> Outgoing:
        """A result that says which event it is of."""
        source = f"{topic}/{PARTITION}/{offset}".encode()
        return Outgoing(self.out, None, b"%d" % offset, ((f"{PREFIX}source", source),), partition=PARTITION)

    def work(self, log: KafkaLog, count: int) -> None:
        """So many events, and their results."""
        log.commit([self.result(self.topic, each.offset) for each in polled(log, count)])

    def results(self) -> list[int]:
        """The offsets of the events that have results, in the order of these."""
        return [int(each.value or b"") for each in self.logs.read("out")]


@pytest.fixture
def group(kafka: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    """Ten events; no doubt lasts long, unless a test says otherwise."""
    monkeypatch.setattr(kafka_positions, "DOUBT_SECONDS", 0.5)
    made = Group(kafka)
    made.events(10)
    yield made
    for log in made.members:
        log.close()


def offsets(events: list[Event]) -> list[int]:
    return [each.offset for each in events]


def answering(log: KafkaLog, monkeypatch: pytest.MonkeyPatch, *answers: dict[int, int]) -> None:
    """A coordinator that first gives these answers, and then those that are true."""
    left, real = list(answers), log._positions._told

    def told(partitions: Iterable[int]) -> list[TopicPartition]:
        if not left:
            return real(partitions)
        return [TopicPartition("", partition, offset) for partition, offset in left.pop(0).items()]

    monkeypatch.setattr(log._positions, "_told", told)


def test_a_new_group_begins_where_it_is_told(group: Group) -> None:
    """At the first event, or behind the last, whatever others have written among the results."""
    group.logs.append(
        "out", [group.result("another-topic", 7), Outgoing(group.out, None, b"plain", partition=PARTITION)]
    )

    assert offsets(polled(group.member(), 10)) == list(range(10))


def test_a_group_goes_on_where_it_was(group: Group) -> None:
    """Nothing is told where results and progress agree."""
    group.scored(6)
    group.come_to(6)

    assert offsets(polled(group.member(), 4)) == [6, 7, 8, 9]
    assert group.noticed == []


def test_a_group_without_progress_is_refused_where_its_results_are(group: Group) -> None:
    """Its offsets have been deleted, or were too old: all results would come twice. Said is where to go on."""
    group.scored(6)

    with pytest.raises(RunFailed, match="has results of it up to offset 5: they would come twice") as refused:
        polled(group.member(), 1)

    assert refused.value.code == "run_conflict"
    assert "--to-offset 6 " in str(refused.value.help)


@pytest.mark.parametrize("own", [True, False])
def test_of_dead_letters_the_groups_own_count(group: Group, own: bool) -> None:
    """Two groups that read one topic share its dead letters: the other one's say nothing of this one."""
    named = (
        (f"{DEAD}source", f"{group.topic}/{PARTITION}/5".encode()),
        (f"{DEAD}group", (group.name if own else "another").encode()),
        # What the event itself was: the result of another worker.
        (f"{PREFIX}source", f"{group.topic}/{PARTITION}/9".encode()),
    )
    group.logs.append("out", [Outgoing(group.out, None, b"bad", named, partition=PARTITION)])

    if own:
        with pytest.raises(RunFailed, match="has results of it up to offset 5"):
            polled(group.member(), 1)
    else:
        assert offsets(polled(group.member(), 10)) == list(range(10))


def test_without_their_events_partitions_results_prove_nothing(group: Group) -> None:
    """Where a key chooses a result's partition, the last one in a partition is not of the last event."""
    group.scored(6)

    assert offsets(polled(group.member(same_partition=False), 10)) == list(range(10))


def test_who_begins_at_the_end_does_so_whatever_is_there(group: Group) -> None:
    """A group that is to begin with the newest events writes none twice."""
    group.scored(6)
    log = group.member(start="latest")
    owning(log)
    group.events(2)

    assert [each.offset >= 10 for each in polled(log, 2)] == [True, True]


def test_a_group_that_was_set_back_reads_again_and_that_is_told(group: Group) -> None:
    """By Kafka's own tools: somebody wants the results once more."""
    group.scored(6)
    group.come_to(2)

    assert offsets(polled(group.member(), 8)) == list(range(2, 10))
    (told,) = group.noticed
    assert "is read again from offset 2" in told
    assert "has results of it up to 5" in told


@pytest.mark.parametrize("wrong", [{}, {PARTITION: 2}], ids=["nothing", "less"])
def test_a_coordinator_that_has_not_read_its_log_yet_is_asked_again(
    group: Group, monkeypatch: pytest.MonkeyPatch, wrong: dict[int, int]
) -> None:
    """It says nothing or less for a moment; neither a new member nor one that reads again begins there."""
    monkeypatch.setattr(kafka_positions, "DOUBT_SECONDS", 60.0)
    group.scored(6)
    group.come_to(6)
    log = group.member()
    answering(log, monkeypatch, wrong, wrong)

    group.work(log, 2)
    answering(log, monkeypatch, wrong, wrong)
    log._rewind()

    assert offsets(polled(log, 2)) == [8, 9]
    assert group.noticed == []


def test_what_a_worker_has_seen_done_is_not_done_again(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cluster says less and stays with it, it has lost something: that is for somebody to look at."""
    log = group.member()
    group.work(log, 4)
    answering(log, monkeypatch, *[{PARTITION: 2}] * 100)

    with pytest.raises(RunFailed, match=r"said to have come to 2 of .*, and this worker has seen 4 done"):
        log._rewind()
    answering(log, monkeypatch, *[{}] * 100)
    with pytest.raises(RunFailed, match=r"said to have come to nothing of .*, and this worker has seen 4 done"):
        log._rewind()
    assert group.results() == [0, 1, 2, 3]


def test_commits_that_the_cluster_has_lost_are_not_made_again(group: Group) -> None:
    """Their results are there, and they were committed together: so it is proven that the events are done."""
    log = group.member()
    group.work(log, 2)
    before = group.told()
    group.work(log, 2)
    group.work(log, 2)
    group.leave()
    group.come_to(before.offset, before.metadata or "")

    log = group.member()
    found = polled(log, 4)

    assert offsets(found) == [6, 7, 8, 9]
    (told,) = group.noticed
    assert "is read on from offset 6: the cluster says 2, and has lost what was committed after that" in told
    log.commit([group.result(group.topic, each.offset) for each in found])
    assert group.told().offset == 10
    assert group.results() == list(range(10))


def test_what_was_taken_back_behind_them_does_not_hide_results(group: Group) -> None:
    """A worker that died in a large transaction leaves events at the end that nobody sees."""
    log = group.member()
    group.work(log, 2)
    before = group.told()
    group.work(log, 2)
    log._producer.begin_transaction()
    for _ in range(kafka_positions.TAILS[0] + 10):
        log._producer.produce(group.out, b"never", partition=PARTITION)
    log._producer.flush(20)
    log._producer.abort_transaction(20)
    group.leave()
    group.come_to(before.offset, before.metadata or "")

    assert offsets(polled(group.member(), 6)) == [4, 5, 6, 7, 8, 9]


def test_of_a_group_that_was_set_back_older_results_prove_nothing(group: Group) -> None:
    """It has done a part once more, and goes on there, though a dead letter of before it lies further on."""
    log = group.member()
    group.work(log, 2)
    group.work(log, 4)
    group.leave()
    group.come_to(0)
    log = group.member()
    group.work(log, 1)
    group.leave()
    group.noticed.clear()
    # As where dead letters still end with one of before.
    older = group.logs.read("out")[5]
    group.logs.append("out", [Outgoing(group.out, None, older.value, older.headers, partition=PARTITION)])

    assert offsets(polled(group.member(), 9)) == list(range(1, 10))
    assert group.noticed == []


def test_what_a_worker_saw_before_a_group_was_set_back_proves_nothing(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away, and another one has begun anew: going on behind what it saw would leave events out."""
    log = group.member()
    group.work(log, 4)
    later = log._commits.metadata(log._commits.after(0) + 10**6)
    monkeypatch.setattr(log._positions, "_told", lambda _: [TopicPartition(group.topic, PARTITION, 2, metadata=later)])

    with pytest.raises(RunFailed, match=r"said to have come to 2 of .*, and this worker has seen 4 done"):
        log._rewind()


def test_numbers_of_another_cluster_prove_nothing(group: Group) -> None:
    """Offsets that were copied from it are not those of events here."""
    log = group.member()
    group.work(log, 2)
    before = group.told()
    group.work(log, 4)
    group.leave()
    assert before.metadata is not None
    group.come_to(before.offset, before.metadata + "x")

    assert offsets(polled(group.member(), 8)) == list(range(2, 10))
    assert "is read again from offset 2" in group.noticed[0]


def test_a_topic_that_ends_before_the_groups_place_is_refused(group: Group) -> None:
    """It was truncated or made anew: what comes there now has numbers that are done already."""
    group.come_to(12)

    with pytest.raises(RunFailed, match=r"has come to offset 12 of partition 1 of .*, which ends at 10"):
        polled(group.member(), 1)


def test_events_that_were_deleted_before_they_were_read_are_told(group: Group) -> None:
    """By retention: there is nothing to do but to go on, and to say how many."""
    group.come_to(2)
    group.admin.delete_records([TopicPartition(group.topic, PARTITION, 5)])
    until_deleted(group, 5)

    assert offsets(polled(group.member(), 5)) == [5, 6, 7, 8, 9]
    (told,) = group.noticed
    assert told.startswith("3 events of partition 1 of ")


def until_deleted(group: Group, low: int) -> None:
    """Until the partition begins there."""
    consumer = Consumer({"bootstrap.servers": group.logs.server, "group.id": "look"})
    while consumer.get_watermark_offsets(TopicPartition(group.topic, PARTITION), 10)[0] < low:
        pass
    consumer.close()


def test_a_place_that_is_not_there_leads_back_to_what_is_done(group: Group) -> None:
    """The client stops to read such a partition; it would have begun anew, and everything had come twice."""
    log = group.member()
    group.work(log, 4)
    log._consumer.seek(TopicPartition(group.topic, PARTITION, 1000))

    assert offsets(polled(log, 6)) == [4, 5, 6, 7, 8, 9]
    assert group.results() == [0, 1, 2, 3]


def test_progress_that_is_not_told_is_no_broker_that_is_away(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that never ends holds it back, while the broker answers all else."""
    monkeypatch.setattr(kafka_positions, "CALL_SECONDS", 0.5)
    log = group.member()
    group.work(log, 4)

    class Silent:
        """A consumer whose group's progress nobody tells."""

        def __init__(self, consumer: Consumer) -> None:
            self.consumer = consumer

        def __getattr__(self, name: str) -> object:
            return getattr(self.consumer, name)

        def committed(self, *_: object) -> object:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    monkeypatch.setattr(log._positions, "_consumer", Silent(log._consumer))
    with pytest.raises(Unavailable, match=r"does not tell how far the group .*, although it answers"):
        log._rewind()
