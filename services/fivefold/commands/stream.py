"""`fivefold stream`, `fivefold log`, `fivefold dead-letters`: events in, results out; the work is the package's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fivefold.commands.words import Parser, add, add_group, add_json, add_providers, complain, print_json

if TYPE_CHECKING:
    from fivefold.stream.addresses import TopicAddress
    from fivefold.stream.dead_letters import DeadLetter

DATA = "fivefold-data"
"""The directory of the local log where none is named."""

INTERRUPTED = 130
"""Exit status of a command that was stopped before it was done."""

CUT_SHORT = "ended at once: whoever comes next begins anew what was not committed\n"

SHOWN = 20
"""Dead letters that `list` prints at most, unless told otherwise."""


def _addresses(arguments: argparse.Namespace) -> tuple[TopicAddress, TopicAddress, TopicAddress]:
    from fivefold.stream.addresses import TopicAddress

    source = TopicAddress.parse(arguments.source, "--from")
    to = TopicAddress.parse(arguments.to, "--to")
    given = arguments.dead_letter or f"{arguments.source}.dead-letter"
    return source, to, TopicAddress.parse(given, "--dead-letter")


def stream(arguments: argparse.Namespace) -> int | None:
    """Work until it is stopped, or until the input is read with `--once`."""
    from fivefold.core.settings import read
    from fivefold.local.signals import ended_by_second, stopping
    from fivefold.stream.registry_settings import RegistrySettings
    from fivefold.stream.settings import StreamSettings
    from fivefold.stream.worker_process import run

    names = (
        "accept_contract_change",
        "group",
        "health",
        "max_bad_fraction",
        "max_batch",
        "result_format",
        "slot",
        "start",
    )
    source, to, dead = _addresses(arguments)
    settings = read(StreamSettings, **{name: getattr(arguments, name) for name in names})
    registry = read(RegistrySettings, registry_url=arguments.registry)
    with stopping() as stop, ended_by_second(INTERRUPTED, CUT_SHORT):
        counts = run(
            arguments.model,
            source,
            to,
            dead,
            settings,
            registry,
            directory=arguments.data,
            once=arguments.once,
            out=sys.stderr,
            stopped=stop.wait,
        )
        interrupted = arguments.once and stop.asked
    if arguments.json:
        print_json(
            {
                "events": counts.events,
                "results": counts.results,
                "dead_letters": counts.dead,
                "codes": dict(counts.codes),
                "batches": counts.batches,
                "rewinds": counts.rewinds,
                "waits": counts.waits,
            }
        )
    return INTERRUPTED if interrupted else None


def append(arguments: argparse.Namespace) -> None:
    """Append the lines of a file, or of standard input."""
    from fivefold.stream import event_lines
    from fivefold.stream.addresses import TopicAddress
    from fivefold.stream.sqlite_store import SqliteStore

    TopicAddress.parse(f"local://{arguments.topic}", "TOPIC")
    with sys.stdin.buffer if arguments.file == "-" else Path(arguments.file).open("rb") as source:
        store = SqliteStore(arguments.data)
        try:
            count = store.append(arguments.topic, event_lines.parse(source, arguments.topic), arguments.partitions)
        finally:
            store.close()
    print(f"appended {count:,} events to local://{arguments.topic}", file=sys.stderr)


def read_log(arguments: argparse.Namespace) -> int | None:
    """Print a topic's events, with `--follow` those too that come."""
    from itertools import islice

    from fivefold.local.signals import stopping
    from fivefold.stream import event_lines
    from fivefold.stream.addresses import TopicAddress
    from fivefold.stream.following import follow
    from fivefold.stream.sqlite_store import SqliteStore

    TopicAddress.parse(f"local://{arguments.topic}", "TOPIC")
    with ExitStack() as stack:
        store = stack.enter_context(closing(SqliteStore(arguments.data, create=False)))
        if arguments.follow:
            stop = stack.enter_context(stopping())
            events = follow(store, arguments.topic, start=arguments.offset, stopped=stop.wait)
        else:
            events = store.read(arguments.topic, start=arguments.offset)
        for event in islice(events, arguments.limit):
            sys.stdout.buffer.write(event_lines.format(event) + b"\n")
            if arguments.follow:
                sys.stdout.buffer.flush()
        sys.stdout.buffer.flush()
        return INTERRUPTED if arguments.follow and stop.asked else None


def info(arguments: argparse.Namespace) -> None:
    """What topics there are, and how far their groups have come."""
    from fivefold.stream.sqlite_store import SqliteStore

    store = SqliteStore(arguments.data, create=False)
    try:
        topics = store.topics()
    finally:
        store.close()
    if arguments.json:
        print_json(
            [
                {
                    "topic": each.name,
                    "partitions": len(each.ends),
                    "events": each.events,
                    "ends": list(each.ends),
                    "groups": {name: list(at) for name, at in each.groups.items()},
                }
                for each in topics
            ]
        )
        return
    for each in topics:
        print(f"local://{each.name}  {each.events:,} events in {len(each.ends)} partitions")
        for name, at in each.groups.items():
            print(f"  group {name}  {sum(at):,} done, {each.events - sum(at):,} behind")


def _letters(arguments: argparse.Namespace) -> Iterator[DeadLetter]:
    from fivefold.stream.addresses import TopicAddress
    from fivefold.stream.browsing import browse
    from fivefold.stream.dead_letters import DeadLetter

    address = TopicAddress.parse(arguments.address, "ADDRESS")
    for event in browse(address, arguments.data):
        letter = DeadLetter.of(event)
        if _wanted(arguments, letter):
            yield letter


def _wanted(arguments: argparse.Namespace, letter: DeadLetter) -> bool:
    return not arguments.code or letter.code in arguments.code


def list_letters(arguments: argparse.Namespace) -> None:
    """Print one line for each dead letter."""
    from itertools import islice

    found = islice(_letters(arguments), arguments.limit or None)
    if arguments.json:
        print_json([_as_json(letter) for letter in found])
        return
    for letter in found:
        place = f"{letter.event.partition}/{letter.event.offset}"
        print(f"{place:<12} {letter.code:<18} {letter.source:<24} {letter.error}")


def show(arguments: argparse.Namespace) -> int | None:
    """Print one dead letter as a line that `log append` reads."""
    from fivefold.stream import event_lines

    for letter in _letters(arguments):
        if f"{letter.event.partition}/{letter.event.offset}" == arguments.place:
            sys.stdout.buffer.write(event_lines.format(letter.event) + b"\n")
            sys.stdout.buffer.flush()
            return None
    complain(f"no dead letter {arguments.place!r}", "fivefold dead-letters list prints PARTITION/OFFSET of each")
    return 3


def replay(arguments: argparse.Namespace) -> int | None:
    """Send dead letters again to the topic that their events came from, or to another one."""
    from fivefold.local.signals import stopping
    from fivefold.stream.addresses import TopicAddress
    from fivefold.stream.dead_letters import replay
    from fivefold.stream.log_opening import open_log

    source = TopicAddress.parse(arguments.address, "ADDRESS")
    to = TopicAddress.parse(arguments.to, "--to")
    with (
        stopping() as stop,
        open_log(source, (to,), arguments.group, directory=arguments.data, same_partition=False) as log,
    ):
        done = replay(log, to.topic, wanted=lambda letter: _wanted(arguments, letter), stopped=stop.wait)
        interrupted = stop.asked
    print(f"sent {done.sent:,} events to {to}, {done.left:,} passed over", file=sys.stderr)
    return INTERRUPTED if interrupted else None


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    event = letter.event
    return {
        "partition": event.partition,
        "offset": event.offset,
        "code": letter.code,
        "path": letter.path,
        "error": letter.error,
        "source": letter.source,
        "key": None if event.key is None else event.key.decode("utf-8", "replace"),
        "bytes": 0 if event.value is None else len(event.value),
    }


def _data(parser: Parser) -> None:
    parser.add_argument("--data", metavar="DIR", default=DATA, help=f"directory of the local log (default {DATA})")


def add_stream(commands: Any) -> None:
    """Add `stream`."""
    parser = add(
        commands,
        "stream",
        stream,
        "score events of a topic, exactly one result or dead letter for each",
        "fivefold stream --model bundles/demo --from local://events --to local://scores",
        "fivefold stream --model bundles/demo --from local://events --to local://scores --once      until all is read",
        "fivefold stream --model bundles/demo --from kafka://broker:9092/events --to kafka://broker:9092/scores",
        "fivefold stream --model bundles/demo --from local://events --to local://scores --registry http://localhost:8081",
    )
    parser.add_argument(
        "--model", metavar="REFERENCE", required=True, help="a bundle: a directory, a .tar, or a URL with its digest"
    )
    parser.add_argument(
        "--from", dest="source", metavar="ADDRESS", required=True, help="local://TOPIC or kafka://HOST:PORT/TOPIC"
    )
    parser.add_argument("--to", metavar="ADDRESS", required=True, help="where results go, in the same log")
    parser.add_argument(
        "--dead-letter", metavar="ADDRESS", help="where events go that have none (default: --from with .dead-letter)"
    )
    _data(parser)
    add_providers(parser)
    parser.add_argument("--group", metavar="NAME", help="workers of one group share the events (default fivefold)")
    parser.add_argument("--slot", metavar="NAME", help="this worker's name in a Kafka group (default: a free one)")
    parser.add_argument("--start", choices=("earliest", "latest"), help="where a new group begins (default earliest)")
    parser.add_argument("--max-batch", metavar="N", type=int, help="events scored together at most (default 5000)")
    parser.add_argument(
        "--max-bad-fraction",
        metavar="SHARE",
        type=float,
        help="stop where more of the last 1000 events are dead letters (default 0.05)",
    )
    parser.add_argument(
        "--registry",
        metavar="URL",
        help="schema registry of events in Avro, by Confluent's protocol; who asks is said by FIVEFOLD_REGISTRY_*",
    )
    parser.add_argument(
        "--result-format",
        choices=("same", "json", "cloudevents", "avro"),
        help="how results are written (default same: as their events)",
    )
    parser.add_argument(
        "--accept-contract-change",
        action="store_true",
        default=None,
        help="begin although results so far are of a contract version that the bundle does not answer",
    )
    parser.add_argument("--health", metavar="HOST:PORT", help="serve /livez, /readyz and /metrics there")
    parser.add_argument("--once", action="store_true", help="end when everything is done that is there now")
    add_json(parser)


def add_log(commands: Any) -> None:
    """Add `log`."""
    group = add_group(
        commands,
        "log",
        "the log of this machine: topics in a directory",
        "fivefold log append events events.jsonl --data DIR",
        "fivefold log read scores --data DIR",
        "fivefold log info --data DIR",
    )
    parser = add(
        group,
        "append",
        append,
        'append lines {"key": …, "value": …, "headers": {…}} to a topic',
        "fivefold log append events events.jsonl --data DIR",
    )
    parser.add_argument("topic", metavar="TOPIC")
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="the lines (default: standard input)")
    _data(parser)
    parser.add_argument("--partitions", metavar="N", type=_count, default=8, help="of a new topic (default 8)")
    parser = add(
        group,
        "read",
        read_log,
        "print a topic's events as lines",
        "fivefold log read scores --data DIR",
        "fivefold log read scores --data DIR --follow      and those that come, until Ctrl-C",
    )
    parser.add_argument("topic", metavar="TOPIC")
    _data(parser)
    parser.add_argument("--offset", metavar="N", type=_from_zero, default=0, help="begin there, in each partition")
    parser.add_argument("--limit", metavar="N", type=_from_zero, help="print so many at most")
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until there were --limit")
    parser = add(group, "info", info, "what topics there are, and how far groups have come", "fivefold log info --json")
    _data(parser)
    add_json(parser)


def add_dead_letters(commands: Any) -> None:
    """Add `dead-letters`."""
    group = add_group(
        commands,
        "dead-letters",
        "events without a result: why, and once more",
        "fivefold dead-letters list local://events.dead-letter",
        "fivefold dead-letters replay local://events.dead-letter --to local://events",
    )
    parser = add(
        group, "list", list_letters, "one line for each", "fivefold dead-letters list local://events.dead-letter"
    )
    _letters_of(parser)
    parser.add_argument(
        "--limit", metavar="N", type=_from_zero, default=SHOWN, help=f"at most (default {SHOWN}; 0: all)"
    )
    add_json(parser)
    parser = add(
        group, "show", show, "one of them, whole", "fivefold dead-letters show local://events.dead-letter 0/17"
    )
    _letters_of(parser)
    parser.add_argument("place", metavar="PARTITION/OFFSET", help="as list prints it")
    parser = add(
        group,
        "replay",
        replay,
        "send them again, each exactly once",
        "fivefold dead-letters replay local://events.dead-letter --to local://events",
        "fivefold dead-letters replay local://events.dead-letter --to local://events --code model_failed",
    )
    _letters_of(parser)
    parser.add_argument("--to", metavar="ADDRESS", required=True, help="the topic that they go to")
    parser.add_argument(
        "--group",
        metavar="NAME",
        default="fivefold-replay",
        help="remembers which were sent; another one begins anew (default fivefold-replay)",
    )


def _letters_of(parser: Parser) -> None:
    parser.add_argument("address", metavar="ADDRESS", help="the topic of the dead letters")
    _data(parser)
    parser.add_argument("--code", metavar="CODE", action="append", default=[], help="only those (may be repeated)")


def _count(text: str) -> int:
    number = _from_zero(text)
    if not 1 <= number <= 1024:
        raise argparse.ArgumentTypeError(f"expected 1 to 1024, got {text}")
    return number


def _from_zero(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return int(text)
