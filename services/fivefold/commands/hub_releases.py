"""`fivefold hub publish`, `releases`, `halt`, `resume`, `promote`: models for devices; the work is `edge.hub`'s."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fivefold.commands.hub_store import add_store, from_zero, hub_store
from fivefold.commands.words import add, add_json, print_json

if TYPE_CHECKING:
    from fivefold.edge.updates.descriptor import SignedRelease


def _publish(arguments: argparse.Namespace) -> None:
    """Sign a bundle as the next release of its model, and put it on the hub's shelf."""
    from pathlib import Path

    from fivefold.commands.places import bundle_of
    from fivefold.edge.hub.release_shelf import next_number, put_release
    from fivefold.edge.updates.descriptor import make_release, sign_release

    bundle = bundle_of(arguments.bundle)
    if arguments.hub:
        _publish_to(arguments, bundle.name)
        return
    with hub_store(arguments, create=True) as database:
        with database.reading() as connection:
            release = arguments.release or next_number(connection, bundle.name)
        descriptor, archive = make_release(arguments.bundle, release=release, rollback=arguments.rollback)
        signed = sign_release(descriptor, Path(arguments.key))
        with database.transaction() as connection:
            put_release(connection, signed, archive, arguments.channel, arguments.share)
    _say(arguments, signed)


def _publish_to(arguments: argparse.Namespace, model: str) -> None:
    """The same at a hub that answers."""
    from pathlib import Path

    from fivefold.edge.gateway.gateway_settings import read_secret
    from fivefold.edge.updates.descriptor import make_release, sign_release
    from fivefold.edge.updates.hub_publishing import HubPublisher

    key = read_secret(arguments.admin_key_file, "admin_key_file") if arguments.admin_key_file else ""
    with HubPublisher(arguments.hub, key, ca=arguments.hub_ca) as hub:
        release = arguments.release or hub.next_number(model)
        descriptor, archive = make_release(arguments.bundle, release=release, rollback=arguments.rollback)
        signed = sign_release(descriptor, Path(arguments.key))
        hub.publish(signed, archive, arguments.channel, arguments.share)
    _say(arguments, signed)


def _say(arguments: argparse.Namespace, signed: SignedRelease) -> None:
    descriptor = signed.descriptor
    whom = "every device" if arguments.channel == "stable" else f"{arguments.share} % of the devices"
    if arguments.json:
        print_json(
            {
                "model": descriptor.model,
                "release": descriptor.release,
                "digest": descriptor.digest,
                "signer": signed.signer,
            }
        )
        return
    print(f"{descriptor}, version {descriptor.version}, for {whom}; signed by {signed.signer}")


def _releases(arguments: argparse.Namespace) -> None:
    from fivefold.edge.hub.release_shelf import list_releases

    with hub_store(arguments) as database, database.reading() as connection:
        found = list_releases(connection)
    if arguments.json:
        print_json([asdict(each) for each in found])
        return
    if not found:
        print("no releases: fivefold hub publish BUNDLE", file=sys.stderr)
    for each in found:
        channel = "stable" if each.channel == "stable" else f"canary, {each.share} %"
        states = ", ".join(f"{count} {state}" for state, count in sorted(each.devices.items())) or "nobody yet"
        state = f"halted: {each.halted}" if each.halted is not None else "offered"
        print(f"{each.model} release {each.release}  version {each.version}  {channel}  {states}  {state}")


def _turn(arguments: argparse.Namespace) -> None:
    """Halt, resume or promote a release."""
    from fivefold.edge.hub import release_shelf

    model, release = arguments.model, arguments.release
    with hub_store(arguments) as database, database.transaction() as connection:
        if arguments.turn == "halt":
            release_shelf.halt_release(connection, model, release, arguments.reason)
        elif arguments.turn == "resume":
            release_shelf.resume_release(connection, model, release)
        else:
            release_shelf.promote_release(connection, model, release)
    said = {
        "halt": "is offered to nobody any more; devices that have it keep it until a higher one",
        "resume": "is offered again, and its canaries count anew",
        "promote": "is offered to every device",
    }
    print(f"{model} release {release} {said[arguments.turn]}")


def add_releases(group: Any) -> None:
    """Add the commands."""
    parser = add(
        group,
        "publish",
        _publish,
        "sign a bundle as its model's next release, and offer it to devices",
        "fivefold hub publish bundles/demo --key publisher.pem --data hub",
        "fivefold hub publish bundles/demo --key publisher.pem --data hub --channel canary --share 10",
        "fivefold hub publish bundles/demo --key publisher.pem --hub https://hub.example --admin-key-file admin",
        "fivefold hub publish bundles/before --key publisher.pem --data hub --rollback      back to an older bundle",
    )
    parser.add_argument("bundle", metavar="BUNDLE")
    add_store(parser, running=True)
    parser.add_argument("--admin-key-file", metavar="FILE", help="with --hub: a file with an operator's key")
    parser.add_argument("--hub-ca", metavar="FILE", help="with --hub: certificates that prove it")
    parser.add_argument(
        "--key", metavar="PEM", required=True, help="the publisher's Ed25519 private key; it stays here"
    )
    parser.add_argument(
        "--channel", choices=("stable", "canary"), default="stable", help="default stable: every device"
    )
    parser.add_argument(
        "--share", metavar="PERCENT", type=from_zero, default=10, help="of the devices, on canary (default 10)"
    )
    parser.add_argument("--release", metavar="N", type=from_zero, help="its number (default: the next one)")
    parser.add_argument("--rollback", action="store_true", help="say that an older bundle comes back on purpose")
    add_json(parser)
    parser = add(
        group, "releases", _releases, "what is offered, to whom, and how it fares", "fivefold hub releases --data hub"
    )
    add_store(parser)
    add_json(parser)
    for name, about in (
        ("halt", "offer a release to nobody any more"),
        ("resume", "offer a halted release again"),
        ("promote", "offer a canary to every device"),
    ):
        parser = add(group, name, _turn, about, f"fivefold hub {name} demo 3 --data hub")
        parser.set_defaults(turn=name)
        parser.add_argument("model", metavar="MODEL")
        parser.add_argument("release", metavar="RELEASE", type=from_zero)
        add_store(parser)
        if name == "halt":
            parser.add_argument("--reason", default="by an operator", help="what devices' owners are told")
