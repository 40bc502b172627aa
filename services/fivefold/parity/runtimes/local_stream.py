"""Stream: every row an event of the local log, scored by a worker, read back from results and dead letters."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec

from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, RowUnreadable, of_records
from fivefold.parity.runtimes.asked_runtime import Runtime
from fivefold.stream import identity
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.dead_letters import DEAD, death
from fivefold.stream.events import Event, Outgoing, header
from fivefold.stream.registry_settings import RegistrySettings
from fivefold.stream.settings import StreamSettings
from fivefold.stream.sqlite_store import SqliteStore
from fivefold.stream.worker_process import run


class LocalStream(Runtime):
    """`fivefold stream --once` over a topic of one partition."""

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        if not asked:
            return []
        version = ((identity.VERSION, self.view.version.encode()),)
        events = (Outgoing("rows", None, question.text.encode(), version) for question in asked)
        with closing(SqliteStore(self.scratch)) as store:
            store.append("rows", events, partitions=1)
        run(
            str(self.directory),
            _topic("rows"),
            _topic("results"),
            _topic("dead"),
            StreamSettings(max_bad_fraction=1.0),
            RegistrySettings(),
            directory=self.scratch,
            once=True,
            out=io.StringIO(),
            stopped=lambda _: False,
        )
        found: dict[int, RowAnswer] = {}
        with closing(SqliteStore(self.scratch, create=False)) as store:
            results = [event for event in store.read("results") if event.value is not None]
            answers = of_records(self.view.outputs, [event.value or b"" for event in results])
            found |= {_row(event, f"{identity.PREFIX}source"): answer for event, answer in zip(results, answers)}
            found |= {_row(event, f"{DEAD}source"): _refusal(event) for event in store.read("dead")}
        nothing = RowUnreadable("neither a result nor a dead letter")
        return [found.get(offset, nothing) for offset in range(len(asked))]


def _topic(name: str) -> TopicAddress:
    return TopicAddress.parse(f"local://{name}", name)


def _row(event: Event, name: str) -> int:
    """The offset of the event that this one came of."""
    return int((header(event.headers, name) or b"").rpartition(b"/")[2])


def _refusal(event: Event) -> RowRefused:
    said = death(event.headers)
    return RowRefused(tuple(_violations(said)))


def _violations(said: dict[str, str]) -> Iterator[tuple[str, str]]:
    details = msgspec.json.decode(said["details"], type=list[dict[str, str]]) if "details" in said else [said]
    for each in details:
        yield each["code"], each["path"]
