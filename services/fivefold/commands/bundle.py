"""`fivefold bundle`: verify, sign, show, keygen, archive and fetch."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fivefold.commands.versions import add_versions
from fivefold.commands.words import add, add_force, add_group, add_json, print_json
from fivefold.core import redact

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle


def _bundle_verify(arguments: argparse.Namespace) -> None:
    from fivefold.commands.places import bundle_of
    from fivefold.core.runtime.scorer import Scorer

    bundle = bundle_of(arguments.bundle, arguments.public_key)
    Scorer.open(bundle).close()
    rows = bundle.golden()[0].rows
    if arguments.json:
        print_json({**_summary(bundle), "golden_rows": rows, "ok": True})
        return
    signed = (
        f"signed by {bundle.signer}" if bundle.signer else "signature not checked" if bundle.signed else "not signed"
    )
    print(f"ok: {bundle.name}@{bundle.version}, {len(bundle.names())} files, {rows} golden rows answered, {signed}")


def _summary(bundle: Bundle) -> dict[str, Any]:
    return {
        "path": str(bundle.path),
        "name": bundle.name,
        "version": bundle.version,
        "digest": bundle.digest,
        "signed": bundle.signed,
        "signer": bundle.signer,
    }


def _bundle_show(arguments: argparse.Namespace) -> None:
    from fivefold.commands.places import bundle_of

    bundle = bundle_of(arguments.bundle)
    # What it was made from may be an address with a key in it, in a bundle that others have packed.
    manifest = redact.value(json.loads(bundle.read("bundle.json")))
    if arguments.json:
        print_json({**_summary(bundle), "manifest": manifest})
        return
    print(f"{bundle.name}@{bundle.version}  sha256 {bundle.digest}{'  signed' if bundle.signed else ''}")
    print(f"runtime   {bundle.manifest.runtime}, runs on {', '.join(bundle.manifest.targets)}")
    print(
        f"contract  {bundle.contract.name}@{bundle.contract.version}: {len(bundle.contract.inputs)} inputs, "
        f"{len(bundle.contract.outputs)} outputs"
    )
    if bundle.carried:
        print("\n".join(_versions(bundle)))
    print(f"tolerance {bundle.manifest.tolerance:g}, {bundle.golden()[0].rows} golden rows")
    for entry in bundle.manifest.files:
        print(f"file      {entry.path}  {entry.bytes:,} bytes  {entry.sha256[:16]}…")
    for key, value in redact.value(dict(bundle.manifest.created_from)).items():
        print(f"from      {key}: {json.dumps(value, ensure_ascii=False)}")


def _bundle_sign(arguments: argparse.Namespace) -> None:
    from fivefold.commands.places import bundle_of
    from fivefold.core.bundle.bundle import sign

    bundle_of(arguments.bundle)
    bundle = sign(arguments.bundle, Path(arguments.key))
    if arguments.json:
        print_json(_summary(bundle))
    else:
        print(f"signed {bundle.name}@{bundle.version} ({bundle.digest}) by {bundle.signer}")


def _bundle_keygen(arguments: argparse.Namespace) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from fivefold.core.bundle.signature import fingerprint

    private, public = Path(arguments.private), Path(arguments.public or Path(arguments.private).with_suffix(".pub.pem"))
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Created, never overwritten, and readable by nobody else from the first byte on.
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    try:
        with public.open("xb") as file:
            file.write(
                key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
    except OSError:
        # A private key alone would stand in the way of the next attempt.
        private.unlink()
        raise
    print(f"{private} signs; give {public} to whoever verifies ({fingerprint(key.public_key())})")


def _bundle_answer(arguments: argparse.Namespace) -> None:
    from fivefold.commands.places import bundle_of
    from fivefold.commands.versions import carried_versions
    from fivefold.core.bundle.answering import answering
    from fivefold.core.bundle.overwriting import refuse_overwriting

    refuse_overwriting(arguments.output, force=arguments.force)
    given = bundle_of(arguments.bundle)
    bundle = answering(given, arguments.output, carried_versions(arguments, given.contract), arguments.default_contract)
    if arguments.json:
        print_json({**_summary(bundle), "contracts": list(bundle.views), "default_contract": bundle.default_contract})
    else:
        print(f"{bundle.path}: {bundle.name}@{bundle.version}, sha256 {bundle.digest}")
        print("\n".join(_versions(bundle)))


def _versions(bundle: Bundle) -> list[str]:
    """A line for each contract version that a bundle answers."""
    out = []
    for version, view in bundle.views.items():
        said = [
            "the model's own" if view is bundle.views.own else "by an adapter",
            "for callers that name none" if view is bundle.views.default else "",
            f"without {', '.join(view.ignored)}" if view.ignored else "",
            f"deprecated since {view.deprecated}" if view.deprecated else "",
            f"may be gone from {view.sunset}" if view.sunset else "",
        ]
        out.append(f"answers   {version}  {', '.join(filter(None, said))}")
    return out


def _bundle_archive(arguments: argparse.Namespace) -> None:
    from fivefold.commands.places import bundle_of

    bundle = bundle_of(arguments.bundle)
    place = bundle.archive(arguments.tar)
    if arguments.json:
        print_json({**_summary(bundle), "tar": str(place), "bytes": place.stat().st_size})
    else:
        print(
            f"{place}: {place.stat().st_size:,} bytes, {bundle.name}@{bundle.version}, "
            f"sha256 of bundle.json {bundle.digest}"
        )


def _bundle_fetch(arguments: argparse.Namespace) -> int | None:
    from fivefold.commands.words import USAGE, complain
    from fivefold.core.settings import SettingsError, read
    from fivefold.delivery.fetch import fetch_to
    from fivefold.delivery.settings import DeliverySettings

    try:
        settings = read(DeliverySettings, trusted_keys=tuple(arguments.public_key) or None)
    except SettingsError as err:
        complain(str(err), "fivefold bundle fetch --help")
        return USAGE
    bundle = fetch_to(arguments.reference, Path(arguments.output), settings)
    if arguments.json:
        print_json(_summary(bundle))
    else:
        print(f"{bundle.digest}  {bundle.name}@{bundle.version}  {bundle.path}")
    return None


def add_bundle(commands: Any) -> None:
    group = add_group(
        commands,
        "bundle",
        "verify, sign, show, archive and fetch bundles",
        "fivefold bundle verify bundles/demo",
        "fivefold bundle sign --help",
    )
    verify = add(
        group,
        "verify",
        _bundle_verify,
        "check every digest, the signature and the golden answers",
        "fivefold bundle verify bundles/demo",
        "fivefold bundle verify demo.tar --public-key release.pub.pem",
    )
    verify.add_argument(
        "--public-key", metavar="PEM", action="append", default=[], help="require a signature by this key; repeatable"
    )
    sign = add(
        group,
        "sign",
        _bundle_sign,
        "sign a bundle with an Ed25519 key",
        "fivefold bundle sign bundles/demo --key release.pem",
    )
    sign.add_argument("--key", metavar="PEM", required=True, help="the private key: fivefold bundle keygen")
    show = add(
        group,
        "show",
        _bundle_show,
        "show what a bundle is made of",
        "fivefold bundle show bundles/demo",
        "fivefold bundle show demo.tar --json",
    )
    answer = add(
        group,
        "answer",
        _bundle_answer,
        "write the same model as a bundle that answers further contract versions",
        "fivefold bundle answer bundles/fraud-2 --answers bundles/fraud-1 --output bundles/fraud-2b",
        "fivefold bundle answer bundles/fraud-1 --answers-newer bundles/fraud-2 --output bundles/fraud-1-again",
        "fivefold bundle answer bundles/fraud-2 --answers c1.json --sunset 1.0.0=2027-03-01 --output bundles/f",
    )
    add_versions(answer)
    answer.add_argument("--output", metavar="DIR", required=True, help="where the bundle is written")
    add_force(answer)
    archive = add(
        group,
        "archive",
        _bundle_archive,
        "write a bundle as one .tar, byte for byte reproducible",
        "fivefold bundle archive bundles/demo demo.tar",
    )
    for command in (verify, sign, show, answer, archive):
        command.add_argument("bundle", metavar="BUNDLE", help="a directory or a .tar")
        add_json(command)
    archive.add_argument("tar", metavar="FILE.tar")
    fetch = add(
        group,
        "fetch",
        _bundle_fetch,
        "fetch a bundle by its digest, verify it and write it to a directory; what is there already is left alone",
        "fivefold bundle fetch https://host/demo.tar#sha256=DIGEST --output bundles/demo",
        "fivefold bundle fetch s3://bucket/demo.tar#sha256=DIGEST --output bundles/demo      AWS_* variables apply",
        "fivefold bundle fetch /bundle --output /models/demo --public-key release.pub.pem",
    )
    fetch.add_argument(
        "reference",
        metavar="REFERENCE",
        help="a directory, a .tar or a file:// URL, the digest optional; or a URL of https, s3 or gs with "
        "#sha256=DIGEST, the digest that `fivefold bundle show` prints",
    )
    fetch.add_argument(
        "--output", metavar="DIR", required=True, help="written whole or not at all: a name inside a volume, not itself"
    )
    fetch.add_argument(
        "--public-key", metavar="PEM", action="append", default=[], help="require a signature by this key; repeatable"
    )
    add_json(fetch)
    keygen = add(
        group,
        "keygen",
        _bundle_keygen,
        "make a key pair for signing",
        "fivefold bundle keygen release.pem",
        "fivefold bundle keygen release.pem public.pem",
    )
    keygen.add_argument(
        "private", metavar="PRIVATE.pem", help="written readable by you alone; an existing file is left alone"
    )
    keygen.add_argument("public", metavar="PUBLIC.pem", nargs="?", help="default: PRIVATE.pub.pem")
