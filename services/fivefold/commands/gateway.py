"""`fivefold gateway`: answers on a device and keeps what it answers; the work is `fivefold.edge.gateway`'s."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fivefold.commands.gateway_update import add_update, add_update_options, opened
from fivefold.commands.words import (
    USAGE,
    Parser,
    add,
    add_default_versions,
    add_group,
    add_json,
    add_model_references,
    add_providers,
    complain,
    print_json,
)

if TYPE_CHECKING:
    from fivefold.edge.outbox.stored import Stored

NOT_RUNNING = 5
"""Exit status where a gateway that is asked does not answer."""

_SETTINGS = (
    "http",
    "data",
    "quota_bytes",
    "when_full",
    "allow_unstored",
    "hub",
    "device",
    "hub_key_file",
    "hub_bandwidth",
    "hub_ca",
    "hub_http",
    "mqtt",
    "mqtt_topic",
    "mqtt_client_id",
    "mqtt_user",
    "mqtt_password_file",
    "mqtt_ca",
    "mqtt_certificate",
    "mqtt_private_key",
    "allow_public",
    "keys",
    "update_interval",
)

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def _gateway(arguments: argparse.Namespace) -> int | None:
    from fivefold.core import telemetry
    from fivefold.core.settings import read
    from fivefold.delivery.settings import DeliverySettings
    from fivefold.edge.gateway.gateway_settings import GatewaySettings
    from fivefold.local.signals import ended_by_second, stopping

    if not arguments.model:
        complain("expected --model, or a command: status, outbox", "fivefold gateway --help")
        return USAGE
    given = {name: getattr(arguments, name) for name in _SETTINGS}
    if arguments.cors:
        given["cors_origins"] = tuple(arguments.cors)
    if arguments.no_refusals:
        given["store_refusals"] = False
    if arguments.no_page:
        given["page"] = False
    for name in ("update_keys", "accept_contract_change"):
        given[name] = tuple(getattr(arguments, name)) or None
    settings = read(GatewaySettings, **given)
    delivery = read(DeliverySettings)
    defaults = dict(text.split("=", 1) for text in arguments.default)
    if settings.update_keys and defaults:
        complain("--default: a gateway that takes updates serves one version of each model", "fivefold gateway --help")
        return USAGE
    telemetry.log_to(sys.stderr)
    begun = time.monotonic()
    with stopping() as stop, ended_by_second(130, "ended at once: what was acknowledged is on the disk\n"):
        updates = None
        if settings.update_keys:
            from fivefold.edge.gateway.gateway_updates import GatewayUpdates

            updates = GatewayUpdates(arguments.model, settings, delivery)
        gateway = opened(arguments.model, settings, delivery, defaults, updates)
        try:
            gateway.run(
                stop,
                ready=lambda: print(_announcement(gateway, time.monotonic() - begun), flush=True),
                updater=None if updates is None else updates.run,
            )
        finally:
            gateway.close()
            if updates is not None:
                updates.close()
    return None


def _announcement(gateway: Any, seconds: float) -> str:
    from fivefold.core.settings import dialable

    settings, http = gateway.settings, dialable(gateway.http)
    models = "\n".join(f"  {model.name}  {model.version}  {model.bundle.digest}" for model in gateway.models())
    waiting = gateway.outbox.status().events
    hub = f"{settings.hub} as {settings.device}" if settings.hub else "none: everything waits"
    mqtt = f"\n  MQTT    {settings.mqtt}, {settings.mqtt_topic}/MODEL" if settings.mqtt else ""
    return f"""
ready in {seconds:.1f} s

  REST    http://{http}/        API at http://{http}/docs
  outbox  {settings.data}, {waiting:,} events wait
  hub     {hub}{mqtt}

{models}

Ctrl-C stops it."""


def _status(arguments: argparse.Namespace) -> int | None:
    """Print how a gateway stands: by its own word where it runs, by its directory where it does not."""
    http = arguments.http or (_address(Path(arguments.data)) if arguments.data else None)
    if http is None and not arguments.data:
        complain("expected --data DIR or --http HOST:PORT", "fivefold gateway status --help")
        return USAGE
    found = _ask(http) if http else None
    if found is None and arguments.http:
        complain(f"no gateway answers at {arguments.http}", None)
        return NOT_RUNNING
    if found is None:
        from fivefold.edge.outbox import inspection

        found = {"outbox": inspection.status(_outbox_of(arguments)).to_json()}
    running = "models" in found
    if arguments.json:
        print_json({"running": running, **found})
        return None
    print(f"running at http://{http}" if running else "not running")
    for model in found.get("models", ()):
        print(f"  {model['name']}  {model['version']}  {model['bundle']}")
    _print_outbox(found["outbox"])
    for model in (found.get("updates") or {}).get("models", ()):
        reason = f": {model['reason']}" if model.get("reason") else ""
        print(
            f"release {model['name']} {model.get('release', 0)}, version {model['version']}: {model['state']}{reason}"
        )
    if (found.get("updates") or {}).get("problem"):
        print(f"        {found['updates']['problem']['error']}")
    hub = found.get("hub")
    if hub:
        print(f"hub     {hub['events']:,} events taken in {hub['batches']:,} batches, {hub['failures']:,} failures")
        if hub["error"]:
            print(f"        {hub['error']}")
    mqtt = found.get("mqtt")
    if mqtt:
        state = "connected" if mqtt["connected"] else mqtt["error"] or "not connected"
        print(f"MQTT    {mqtt['broker']}: {state}; {mqtt['messages']['answered']:,} answered")
    return None


def _print_outbox(outbox: dict[str, Any]) -> None:
    of = f" of {outbox['quota_bytes']:,}" if outbox["quota_bytes"] else ""
    print(f"outbox  {outbox['outbox']}, {outbox['used_bytes']:,}{of} bytes")
    for lane in outbox["lanes"]:
        age = "" if lane["oldest_ms"] is None else f", the oldest for {time.time() - lane['oldest_ms'] / 1000:,.0f} s"
        print(
            f"  {lane['lane']:<7} {lane['events']:,} events wait{age}; "
            f"the hub has {lane['acked_through']:,} of {lane['next_seq'] - 1:,}"
        )
        if lane["dropped"] or lane["corrupt"] or lane["gaps"]:
            print(
                f"          {lane['dropped']:,} dropped, {lane['corrupt']:,} unreadable, "
                f"{lane['gaps']:,} gap records wait"
            )
        if lane["stop"]:
            print(
                f"          stopped: {lane['stop']['code']} (the hub says {lane['stop']['hub_acked_through']:,}); "
                "fivefold gateway outbox resume"
            )
    if outbox["broken"]:
        print(f"  {outbox['broken']}")


def _address(directory: Path) -> str | None:
    from fivefold.edge.gateway.gateway_process import ADDRESS

    try:
        return str(json.loads((directory / ADDRESS).read_bytes())["http"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ask(http: str) -> dict[str, Any] | None:
    """What the gateway at an address says, or None where none does."""
    import urllib.error
    import urllib.request

    from fivefold.core.redirects import NoRedirects
    from fivefold.edge.gateway.gateway_status import PATH

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects)
    try:
        with opener.open(f"http://{http}{PATH}", timeout=5) as answer:
            found = json.loads(answer.read(1024 * 1024))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("outbox"), dict) else None


def _outbox_of(arguments: argparse.Namespace) -> Path:
    from fivefold.core.settings import SettingsError
    from fivefold.edge.gateway.gateway_process import OUTBOX

    if not arguments.data:
        raise SettingsError("data: expected --data and the gateway's directory, got none")
    return Path(arguments.data) / OUTBOX


def _outbox_status(arguments: argparse.Namespace) -> None:
    from fivefold.edge.outbox import inspection

    found = inspection.status(_outbox_of(arguments)).to_json()
    if arguments.json:
        print_json(found)
    else:
        _print_outbox(found)


def _outbox_show(arguments: argparse.Namespace) -> None:
    """Print what waits, a JSON line each."""
    from fivefold.edge.outbox import inspection

    for stored in inspection.show(
        _outbox_of(arguments), lane=arguments.lane, first=arguments.first, most=arguments.limit
    ):
        sys.stdout.buffer.write(_line(stored))
    sys.stdout.buffer.flush()


def _line(stored: Stored) -> bytes:
    import msgspec

    from fivefold.edge.sync.lane_batches import encode_line

    line = msgspec.json.decode(encode_line(stored))
    return msgspec.json.encode({"lane": stored.lane, **line}) + b"\n"


def _outbox_resume(arguments: argparse.Namespace) -> None:
    from fivefold.edge.outbox import inspection
    from fivefold.edge.outbox.stored import OUTBOX_COPIED

    lanes = inspection.resume(_outbox_of(arguments), lane=arguments.lane, accept_loss=arguments.accept_loss)
    if any(lane.stop is not None and lane.stop.code == OUTBOX_COPIED for lane in lanes):
        print("the outbox goes on under an id of its own when the gateway reaches the hub; nothing is lost")
        return
    for lane in lanes:
        print(f"lane {lane.lane} goes on when the gateway reaches the hub; what is lost becomes a gap record")
    if not lanes:
        print("no lane is stopped")


def _size(text: str) -> int:
    """The type of an argument in bytes: 268435456, 256M."""
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if not number.isascii() or not number.isdigit() or unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"expected bytes such as 268435456, 256M or 2G, got {text!r}")
    return int(number) * _UNITS[unit]


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def add_gateway(commands: Any) -> None:
    """Add `gateway`."""
    parser = add(
        commands,
        "gateway",
        _gateway,
        "answer on a device without a network, and keep every answer until a hub has it",
        "fivefold gateway --model bundles/demo --data /var/lib/fivefold",
        "fivefold gateway --model bundles/demo --data data --hub https://hub.example --device pump-7 --key-file key",
        "fivefold gateway --model bundles/demo --data data --mqtt mqtt://127.0.0.1:1883",
        "fivefold gateway --model bundles/demo --data data --update-key publisher.pem",
        "fivefold gateway status --data data",
        "fivefold gateway update --from /media/stick --data data",
        "fivefold gateway outbox show --data data --limit 5",
        "FIVEFOLD_MAX_ROWS=1000 fivefold gateway --model bundles/demo --data data     every setting is a variable, too",
    )
    _add_options(parser)
    inner = parser.add_subparsers(metavar="COMMAND", required=False)
    status = add(inner, "status", _status, "say how a gateway stands", "fivefold gateway status --data data")
    _add_data(status)
    status.add_argument("--http", metavar="HOST:PORT", default=argparse.SUPPRESS, help="where a running one answers")
    add_json(status)
    add_update(inner, _add_data)
    outbox = add_group(
        inner,
        "outbox",
        "what waits for the hub; also while a gateway runs",
        "fivefold gateway outbox status --data data",
        "fivefold gateway outbox show --data data --lane alerts",
        "fivefold gateway outbox resume --data data --accept-loss",
    )
    of = add(outbox, "status", _outbox_status, "say how full it is", "fivefold gateway outbox status --data data")
    _add_data(of)
    add_json(of)
    show = add(
        outbox,
        "show",
        _outbox_show,
        "print what waits, a JSON line each, the oldest first",
        "fivefold gateway outbox show --data data --lane bulk --first 1200 --limit 10",
    )
    _add_data(show)
    show.add_argument("--lane", metavar="LANE", choices=("alerts", "bulk"), help="alerts or bulk; default both")
    show.add_argument("--first", type=_count, default=1, metavar="N", help="from this number on")
    show.add_argument("--limit", type=_count, metavar="N", help="at most so many")
    resume = add(
        outbox,
        "resume",
        _outbox_resume,
        "let lanes go on that were stopped: the hub has lost what it had, or this outbox is a copy of another",
        "fivefold gateway outbox resume --data data      a copy goes on under an id of its own",
        "fivefold gateway outbox resume --data data --accept-loss      what the hub has lost becomes a gap record",
    )
    _add_data(resume)
    resume.add_argument("--lane", metavar="LANE", choices=("alerts", "bulk"), help="alerts or bulk; default both")
    resume.add_argument(
        "--accept-loss", action="store_true", help="what the hub has lost is lost: a gap record says so"
    )


def _add_data(parser: Parser) -> None:
    # What stands before the inner command counts too.
    parser.add_argument("--data", metavar="DIR", default=argparse.SUPPRESS, help="the gateway's directory")


def _add_options(parser: Parser) -> None:
    add_model_references(parser)
    add_providers(parser)
    parser.add_argument("--data", metavar="DIR", help="the directory of the outbox; made where there is none")
    parser.add_argument("--http", metavar="HOST:PORT", help="default 127.0.0.1:8000")
    add_default_versions(parser)
    parser.add_argument(
        "--quota", dest="quota_bytes", type=_size, metavar="BYTES", help="what may wait, such as 256M; default 1G"
    )
    parser.add_argument(
        "--when-full",
        choices=("reject_new", "drop_oldest"),
        help="at the quota refuse what comes (default), or drop the oldest and leave a gap record",
    )
    parser.add_argument("--no-refusals", action="store_true", help="keep no events of refused requests")
    parser.add_argument(
        "--allow-unstored",
        action="store_true",
        default=None,
        help="let callers ask without an event by x-fivefold-store: none",
    )
    parser.add_argument("--hub", metavar="URL", help="send what waits to this hub")
    parser.add_argument("--device", metavar="ID", help="this device's id at the hub")
    parser.add_argument("--key-file", dest="hub_key_file", metavar="FILE", help="a file with this device's key")
    parser.add_argument(
        "--bandwidth", dest="hub_bandwidth", type=float, metavar="BYTES", help="bytes a second to the hub at most"
    )
    parser.add_argument("--hub-ca", metavar="FILE", help="certificates that prove the hub")
    parser.add_argument(
        "--hub-http", action="store_true", default=None, help="send to another machine in the clear (http://)"
    )
    add_update_options(parser)
    parser.add_argument("--mqtt", metavar="URL", help="take requests from mqtt://HOST:PORT or mqtts://HOST:PORT")
    parser.add_argument("--mqtt-topic", metavar="TOPIC", help="requests at TOPIC/MODEL; default fivefold")
    parser.add_argument("--mqtt-client-id", metavar="ID", help="the name at the broker; default one of the outbox's")
    parser.add_argument("--mqtt-user", metavar="NAME")
    parser.add_argument("--mqtt-password-file", metavar="FILE")
    parser.add_argument("--mqtt-ca", metavar="FILE", help="certificates that prove the broker")
    parser.add_argument("--mqtt-certificate", metavar="FILE", help="this device's certificate for the broker")
    parser.add_argument("--mqtt-private-key", metavar="FILE", help="and its key")
    parser.add_argument(
        "--keys", metavar="PATH", help="ask callers for an API key of this file or directory: fivefold keys create"
    )
    parser.add_argument(
        "--allow-public",
        action="store_true",
        default=None,
        help="listen beyond this machine although nobody is asked who they are",
    )
    parser.add_argument(
        "--cors",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="let pages of this origin (https://app.example) read the answers; repeatable",
    )
    parser.add_argument("--no-page", action="store_true", help="no page for people at /")
