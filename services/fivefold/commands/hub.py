"""`fivefold hub`: the server that devices hand their events to, and what people do with it; the work is elsewhere."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from fivefold.commands.hub_releases import add_releases
from fivefold.commands.hub_store import add_store, from_zero, hub_store
from fivefold.commands.words import USAGE, add, add_group, add_json, complain, print_json

if TYPE_CHECKING:
    from fivefold.edge.hub.event_ledger import StoredEvent
    from fivefold.edge.hub.hub_process import OpenForwarder
    from fivefold.stream.forwarding import Forwarding

LOG_DATA = "fivefold-data"
"""The directory of the local log where none is named."""

INTERRUPTED = 130


def _serve(arguments: argparse.Namespace) -> int:
    from fivefold.core.settings import SettingsError, read
    from fivefold.edge.hub.hub_limits import HubSettings
    from fivefold.edge.hub.hub_process import serve_hub

    names = (
        "keep_days",
        "http",
        "metrics",
        "keys",
        "certificate",
        "private_key",
        "allow_http",
        "oidc_issuer",
        "oidc_audience",
    )
    given = {name: getattr(arguments, name) or None for name in names}
    if arguments.cors:
        given["cors_origins"] = tuple(arguments.cors)
    try:
        settings = read(HubSettings, **given)
        if settings.keep_days and not arguments.forward:
            raise SettingsError("keep_days: a hub that forwards nothing has its events nowhere else; give --forward")
        target, forwarder = forwarder_of(arguments.forward) if arguments.forward else ("", None)
    except SettingsError as error:
        complain(str(error), "fivefold hub serve --help")
        return USAGE
    with hub_store(arguments, create=True) as database:
        return serve_hub(database, settings, forwarder, target)


def forwarder_of(text: str) -> tuple[str, OpenForwarder]:
    """The address, and how its log is opened for a hub. Raises `SettingsError`."""
    from fivefold.core.settings import SettingsError
    from fivefold.stream.addresses import TopicAddress
    from fivefold.stream.forwarding_opening import open_forwarding

    plain, _, query = text.partition("?")
    address = TopicAddress.parse(plain, "--forward")
    options = parse_qs(query, keep_blank_values=True)
    directory = options.pop("data", [LOG_DATA])[-1]
    if options or (query and not address.is_local):
        raise SettingsError(f"--forward: expected {address} and, for local://, ?data=DIR; got {text!r}")
    return str(address), lambda hub: _Forwarder(open_forwarding(address, hub, directory=directory), address.topic)


class _Forwarder:
    """A log as the hub knows it: its events as those of a topic, with the device for a key, so that order holds."""

    def __init__(self, log: Forwarding, topic: str) -> None:
        self._log, self._topic = log, topic

    def position(self) -> int:
        return self._log.position()

    def append(self, events: Sequence[StoredEvent], position: int) -> None:
        from fivefold.stream.events import Outgoing

        self._log.append(
            [
                Outgoing(
                    self._topic,
                    each.device.encode(),
                    each.body,
                    (
                        ("fivefold-device", each.device.encode()),
                        ("fivefold-outbox", each.outbox.encode()),
                        ("fivefold-lane", each.lane.encode()),
                        ("fivefold-seq", str(each.seq).encode()),
                        ("fivefold-kind", each.kind.encode()),
                        ("fivefold-position", str(each.position).encode()),
                    ),
                    each.received,
                )
                for each in events
            ],
            position,
        )

    def close(self) -> None:
        self._log.close()


def _device_add(arguments: argparse.Namespace) -> None:
    from fivefold.edge.hub.device_register import add_device, check_device

    check_device(arguments.id)
    with hub_store(arguments, create=True) as database, database.transaction() as connection:
        key = add_device(connection, arguments.id)
    _show_key(arguments, key, "is known now")


def _device_rotate(arguments: argparse.Namespace) -> None:
    from fivefold.edge.hub.device_register import rotate_key

    with hub_store(arguments) as database, database.transaction() as connection:
        key = rotate_key(connection, arguments.id, arguments.overlap or 0)
    _show_key(arguments, key, "has a new key")


def _show_key(arguments: argparse.Namespace, key: str, what: str) -> None:
    if arguments.json:
        print_json({"device": arguments.id, "key": key})
        return
    print(key)
    # Beside the key, so that KEY=$(fivefold hub device add …) holds nothing else.
    print(f"{arguments.id} {what}; the key is shown this once", file=sys.stderr)


def _device_revoke(arguments: argparse.Namespace) -> None:
    from fivefold.edge.hub.device_register import revoke_keys

    with hub_store(arguments) as database, database.transaction() as connection:
        count = revoke_keys(connection, arguments.id)
    print(f"{arguments.id}: {count} key{'' if count == 1 else 's'} revoked, from now on; what it delivered stays")


def _device_list(arguments: argparse.Namespace) -> None:
    from fivefold.edge.hub.device_register import list_devices

    with hub_store(arguments) as database, database.reading() as connection:
        found = list_devices(connection, most=1_000_000)
    if arguments.json:
        print_json([asdict(each) for each in found])
        return
    if not found:
        print("no devices: fivefold hub device add ID", file=sys.stderr)
    for each in found:
        delivered = sum(each.delivered.values())
        waiting = sum(each.report.get("backlog", {}).values())
        words = [each.id, f"seen {_time(each.seen)}", f"{delivered:,} delivered", f"{waiting:,} waiting"]
        words += [f"{each.quarantined:,} in quarantine"] if each.quarantined else []
        words += [f"{lane} stopped: {code}" for lane, code in each.report.get("stopped", {}).items()]
        words += [f"copied outbox {_time(each.copied)}"] if each.copied else []
        words += [f"{one['name']} {one['version']} {one['state']}" for one in each.report.get("models", [])]
        words += [] if each.keys else ["no key"]
        print("  ".join(words))


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "never"
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _events(arguments: argparse.Namespace) -> int | None:
    """Print events as lines, in the hub's order."""
    import msgspec

    from fivefold.edge.hub.event_ledger import events_after
    from fivefold.local.signals import stopping

    position, left = arguments.after, arguments.limit
    out = sys.stdout.buffer
    with hub_store(arguments) as database, stopping() as stop:
        while not stop.asked:
            most = 1000 if left is None else min(1000, left)
            with database.reading() as connection:
                found = events_after(connection, position, most, arguments.device) if most else []
            for each in found:
                about = {name: getattr(each, name) for name in ("position", "device", "outbox", "lane", "received")}
                out.write(msgspec.json.encode({**about, "event": msgspec.Raw(each.body)}) + b"\n")
            out.flush()
            if found:
                position = found[-1].position
                left = None if left is None else left - len(found)
            elif not arguments.follow or left == 0:
                return None
            else:
                stop.wait(0.5)
    return INTERRUPTED


def _quarantine(arguments: argparse.Namespace) -> None:
    """Print the lines that are no events, whole, as JSON lines."""
    import base64

    import msgspec

    from fivefold.edge.hub.event_ledger import quarantined_lines

    with hub_store(arguments) as database, database.reading() as connection:
        for each in quarantined_lines(connection, arguments.device, arguments.limit):
            line = asdict(each)
            raw = line.pop("raw")
            try:
                line["raw"] = raw.decode()
            except UnicodeDecodeError:
                line["raw_base64"] = base64.b64encode(raw).decode()
            sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _prune(arguments: argparse.Namespace) -> None:
    """Delete delivered events that are old enough."""
    from fivefold.edge.hub.device_register import milliseconds
    from fivefold.edge.hub.pruning import prune

    with hub_store(arguments) as database:
        count = prune(database, before=milliseconds() - arguments.older_than, through=arguments.through)
    if arguments.json:
        print_json({"deleted": count})
    else:
        print(f"{count:,} event{'' if count == 1 else 's'} deleted; the file keeps its size, and new ones use the room")


def _span(text: str) -> int:
    """Milliseconds of `90d`, `12h`, `30m` or `45s`."""
    unit = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}.get(text[-1:], 0)
    if not (unit and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 8):
        raise argparse.ArgumentTypeError(f"expected a span such as 12h or 7d, got {text!r}")
    return int(text[:-1]) * unit


def add_hub(commands: Any) -> None:
    """Add `hub`."""
    group = add_group(
        commands,
        "hub",
        "the server that devices hand their events to, and get their models from",
        "fivefold hub serve --data hub",
        "fivefold hub device add pump-7 --data hub",
        "fivefold hub events --data hub --follow",
    )
    _add_serve(group)
    _add_devices(group)
    add_releases(group)
    parser = add(
        group,
        "events",
        _events,
        "print what devices have delivered, as JSON lines",
        "fivefold hub events --data hub --device pump-7",
        "fivefold hub events --data hub --follow      and what comes, until Ctrl-C",
    )
    add_store(parser)
    parser.add_argument("--device", metavar="ID", help="of one device alone")
    parser.add_argument("--after", metavar="POSITION", type=from_zero, default=0, help="only behind that position")
    parser.add_argument("--limit", metavar="N", type=from_zero, help="at most so many")
    parser.add_argument("--follow", action="store_true", help="go on with what comes")
    parser = add(
        group,
        "prune",
        _prune,
        "delete old events that were forwarded; devices and what they are told stay as they are",
        "fivefold hub prune --data hub --older-than 30d",
        "fivefold hub prune --data hub --older-than 0s --through 120000      of a hub that forwards nothing",
    )
    add_store(parser)
    parser.add_argument(
        "--older-than", metavar="SPAN", type=_span, required=True, help="received so long ago: 30d, 12h, 0s for all"
    )
    parser.add_argument(
        "--through",
        metavar="POSITION",
        type=from_zero,
        help="where the hub forwards nothing: its events were taken elsewhere up to there",
    )
    add_json(parser)
    parser = add(
        group,
        "quarantine",
        _quarantine,
        "print the lines that were no events, as JSON lines",
        "fivefold hub quarantine --data hub --limit 10",
    )
    add_store(parser)
    parser.add_argument("--device", metavar="ID", help="of one device alone")
    parser.add_argument("--limit", metavar="N", type=from_zero, default=1000, help="at most so many (default 1000)")


def _add_serve(group: Any) -> None:
    parser = add(
        group,
        "serve",
        _serve,
        "serve devices until Ctrl-C",
        "fivefold hub serve --data hub",
        "fivefold hub serve --data hub --http 0.0.0.0:8700 --certificate hub.pem --private-key hub.key",
        "fivefold hub serve --database postgres://hub@db/hub --forward kafka://kafka:9092/edge --keep-days 30",
        "fivefold hub serve --data hub --forward 'local://edge?data=fivefold-data'",
    )
    add_store(parser)
    parser.add_argument("--http", metavar="HOST:PORT", help="where to listen (default 127.0.0.1:8700)")
    parser.add_argument(
        "--metrics", metavar="HOST:PORT", help="answer /metrics there to whoever reaches it, without a key"
    )
    parser.add_argument(
        "--forward",
        metavar="ADDRESS",
        help="a topic that every event goes on to, exactly once: local://TOPIC?data=DIR or kafka://HOST:PORT/TOPIC",
    )
    parser.add_argument(
        "--keep-days",
        metavar="N",
        type=int,
        help="with --forward: delete forwarded events N days after they came, every hour (default: keep all)",
    )
    parser.add_argument(
        "--keys", metavar="KEYS.json", help="operators' keys: scope admin sees the page and the figures"
    )
    parser.add_argument("--oidc-issuer", metavar="URL", help="an issuer of operators' tokens")
    parser.add_argument("--oidc-audience", metavar="NAME", help="what its tokens must name")
    parser.add_argument("--certificate", metavar="PEM", help="the server's certificate, for HTTPS")
    parser.add_argument("--private-key", metavar="PEM", help="its key")
    parser.add_argument(
        "--allow-http", action="store_true", help="listen for other machines without HTTPS: a proxy in front has it"
    )
    parser.add_argument(
        "--cors", metavar="ORIGIN", action="append", help="an origin whose pages are devices; repeatable"
    )


def _add_devices(group: Any) -> None:
    devices = add_group(
        group,
        "device",
        "devices and their keys",
        "fivefold hub device add pump-7 --data hub",
        "fivefold hub device list --data hub",
    )
    named = [
        add(
            devices,
            "add",
            _device_add,
            "make a device known, and print its key, once",
            "fivefold hub device add pump-7 --data hub",
        ),
        add(
            devices,
            "rotate",
            _device_rotate,
            "give a device a new key in place of its old one",
            "fivefold hub device rotate pump-7 --data hub",
            "fivefold hub device rotate pump-7 --data hub --overlap 7d      the old one is good for a week more",
        ),
        add(
            devices,
            "revoke",
            _device_revoke,
            "take a device's keys back: it is let in no more",
            "fivefold hub device revoke pump-7 --data hub",
        ),
    ]
    named[1].add_argument("--overlap", metavar="SPAN", type=_span, help="how long the old key stays good: 12h, 7d")
    for parser in named:
        parser.add_argument("id", metavar="ID", help="a-z, 0-9, '.', '_' and '-', at most 63")
        add_store(parser)
    for parser in named[:2]:
        add_json(parser)
    parser = add(
        devices,
        "list",
        _device_list,
        "what devices there are, when they were seen, and what they hold",
        "fivefold hub device list --data hub",
    )
    add_store(parser)
    add_json(parser)
