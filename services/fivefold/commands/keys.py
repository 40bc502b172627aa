"""`fivefold keys`: create, list and revoke API keys; what a key and its file are is `fivefold.guard.keys`'."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from fivefold.commands.words import USAGE, add, add_group, add_json, complain, print_json
from fivefold.core.errors import NotFound
from fivefold.core.settings import SettingsError


def _create(arguments: argparse.Namespace) -> int | None:
    from fivefold.guard import keys

    try:
        expires = keys.expiry(arguments.expires) if arguments.expires else None
        key, entry = keys.make(
            arguments.name,
            arguments.scope or ["infer"],
            rate=arguments.rate,
            burst=arguments.burst,
            concurrency=arguments.concurrency,
            expires=expires,
        )
        if arguments.string_data:
            print_json({"key": key, "keys.json": keys.File(1, (entry,)).to_bytes().decode()})
            return None
        keys.add(Path(arguments.file), entry)
    except SettingsError as error:
        complain(str(error), "fivefold keys create --help")
        return USAGE
    if arguments.json:
        print_json({"key": key, "id": entry.id, "file": arguments.file})
        return None
    print(key)
    # Beside the key, so that KEY=$(fivefold keys create …) holds nothing else.
    print(f"{entry.name}: {entry.id} in {arguments.file}; the key is shown this once", file=sys.stderr)
    return None


def _list(arguments: argparse.Namespace) -> int | None:
    from fivefold.guard import keys

    place = Path(arguments.file)
    if not place.exists():
        raise NotFound("not_found", f"there is no file {place}", help="make one: fivefold keys create")
    try:
        entries = keys.load(place).keys
    except SettingsError as error:
        complain(str(error), None)
        return USAGE
    rows: list[dict[str, Any]] = [
        {
            "id": entry.id,
            "name": entry.name,
            "scopes": list(entry.scopes),
            "rate": entry.rate,
            "burst": entry.burst,
            "concurrency": entry.concurrency,
            "expires": entry.expires,
            "expired": entry.expires is not None and keys.timestamp(entry.expires) <= time.time(),
        }
        for entry in entries
    ]
    if arguments.json:
        print_json(rows)
        return None
    for row in rows:
        limits = [f"{row['rate']:g}/s"] if row["rate"] else []
        limits += [f"{row['concurrency']} at once"] if row["concurrency"] else []
        until = f"{'expired' if row['expired'] else 'expires'} {row['expires']}" if row["expires"] else "no end"
        print("  ".join((row["id"], ",".join(row["scopes"]), ", ".join(limits) or "no limits", until, row["name"])))
    return None


def _revoke(arguments: argparse.Namespace) -> int | None:
    from fivefold.guard import keys

    try:
        gone = keys.remove(Path(arguments.file), arguments.id)
    except SettingsError as error:
        complain(str(error), None)
        return USAGE
    if gone is None:
        raise NotFound("not_found", f"no key {arguments.id!r} in {arguments.file}", help="fivefold keys list")
    print(f"revoked {gone.id} ({gone.name}); a running server knows within two seconds")
    return None


def add_keys(commands: Any) -> None:
    group = add_group(
        commands,
        "keys",
        "create, list and revoke API keys",
        "fivefold keys create --file keys.json --name ci",
        "fivefold serve --model bundles/demo --keys keys.json",
    )
    create = add(
        group,
        "create",
        _create,
        "make an API key and print it, once; the file holds a digest",
        "fivefold keys create --file keys.json --name ci --rate 100 --concurrency 8",
        "fivefold keys create --file keys.json --name ops --scope infer --scope admin --expires 90d",
        "fivefold keys create --string-data --name install      the stringData of a Kubernetes Secret",
    )
    place = create.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--file", metavar="KEYS.json", help="where its digest goes; made, for you alone, if it is not there"
    )
    place.add_argument(
        "--string-data", action="store_true", help="print the key and a keys file that holds it alone; write nothing"
    )
    create.add_argument("--name", required=True, help="who will have it, for people to read")
    create.add_argument(
        "--scope",
        action="append",
        choices=("infer", "bundles", "admin", "sync"),
        help="what it may do; default infer; repeatable. infer: ask models, read contracts; bundles: read the bundles' "
        "files, model and golden rows among them; admin: load and unload; sync: bring in what devices have collected",
    )
    create.add_argument("--rate", type=float, metavar="N", help="requests a second, all replicas together")
    create.add_argument("--burst", type=float, metavar="N", help="requests at once after a pause; default one second's")
    create.add_argument("--concurrency", type=int, metavar="N", help="requests in work at once, all replicas together")
    create.add_argument("--expires", metavar="WHEN", help="90d, 12h, 30m, or a time such as 2030-01-31T12:00:00Z")
    listed = add(
        group,
        "list",
        _list,
        "show the keys of a file, without their secrets",
        "fivefold keys list --file keys.json",
    )
    revoke = add(group, "revoke", _revoke, "take a key out of a file", "fivefold keys revoke --file keys.json 0123abcd")
    for command in (listed, revoke):
        command.add_argument("--file", metavar="KEYS.json", required=True)
    revoke.add_argument("id", metavar="ID", help="what follows ff_ in the key")
    for command in (create, listed):
        add_json(command)
