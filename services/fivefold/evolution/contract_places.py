"""Contracts to compare, from wherever they are: a contract.json, a bundle, a running server.

contract.json
bundles/demo, demo.tar                       a bundle; every reference that `fivefold serve` takes
http://host:8000, grpc://host:9000           a server with one model
http://host:8000#churn, …#churn@2            one of several models, or a version of it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from fivefold.core import redact
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid, NotFound, ProtocolError
from fivefold.delivery.settings import DeliverySettings

_SERVERS = ("http", "https", "grpc", "grpcs")
_DIGEST = "#sha256="


@dataclass(frozen=True, slots=True)
class ContractAt:
    """A contract and where it was found."""

    contract: Contract
    place: str
    """As messages show it."""
    file: Path | None = None
    """The contract.json, for remarks in a review: None for what is no file."""
    digest: str | None = None
    """The bundle's identity; None for what is no bundle."""
    carried: tuple[str, ...] = ()
    """Versions that the bundle answers beside its own."""


def is_server(text: str) -> bool:
    """Whether that is the URL of a running server."""
    return _scheme(text) in _SERVERS and _DIGEST not in text


def _scheme(text: str) -> str:
    """The scheme of a URL, whatever stands behind it; nothing for a path."""
    scheme, separator, _ = text.partition("://")
    return scheme.lower() if separator else ""


def contract_at(text: str, *, delivery: DeliverySettings | None = None, timeout: float = 30.0) -> ContractAt:
    """The contract at a path or URL; of a server, the one that callers get who name no version.

    A server has `timeout` seconds for each question, and is shown `FIVEFOLD_KEY` as by every client. Raises `NotFound`
    for what is not there, `ContractInvalid` and `BundleInvalid` for what is none, `ProtocolError` for a server with
    several models of which none was named, and what the client raises.
    """
    scheme = _scheme(text)
    if is_server(text):
        return _served(text, timeout)
    if scheme or Path(text).is_dir() or Path(text).suffix == ".tar":
        # Imported where it is needed: two files are compared before a client is loaded.
        from fivefold.delivery.fetch import fetch
        from fivefold.delivery.reference import Reference

        bundle = fetch(Reference.parse(text), delivery or DeliverySettings())
        file = Path(text) / "contract.json" if not scheme and Path(text).is_dir() else None
        carried = tuple(each.contract.version for each in bundle.carried)
        return ContractAt(bundle.contract, redact.address(text), file, bundle.digest, carried)
    if not Path(text).exists():
        raise NotFound("not_found", f"there is no contract at {text}", help="a contract.json, a bundle, or a URL")
    return ContractAt(Contract.load(text), text, Path(text))


def _served(text: str, timeout: float) -> ContractAt:
    from fivefold.client import Client

    url, _, fragment = text.partition("#")
    model, _, version = fragment.partition("@")
    shown = redact.address(url)
    try:
        _ = urlsplit(url).port
        if not url.isprintable():
            raise ValueError
    except ValueError:
        # Its words may quote a part of what it could not read, such as half of a password.
        raise NotFound("not_found", f"{shown} is no URL", help="such as https://models.example:8000") from None
    try:
        with Client(url, timeout=timeout) as client:
            names = sorted({entry["name"] for entry in client.models()}) if not model else [model]
            if len(names) != 1:
                several = ", ".join(names) or "none"
                help = f"put its name behind the URL: #{names[0]}" if names else None
                raise ProtocolError("not_acceptable", f"{shown} serves several models: {several}", help=help)
            found = client.contract(names[0], version or None)
            others = tuple(each for each in client.contracts(names[0], version or None) if each != found.version)
            return ContractAt(found, f"{shown}#{fragment or names[0]}", carried=others)
    except (msgspec.MsgspecError, LookupError, TypeError) as err:
        raise ProtocolError("not_acceptable", f"{shown}: this is not how Fivefold answers: {err}") from err


def contracts_in(directory: str, delivery: DeliverySettings | None = None) -> list[ContractAt]:
    """Every contract and bundle of a directory, by name; raises `NotFound` where there is none."""
    home = Path(directory)
    found: list[ContractAt] = []
    for path in sorted(home.iterdir()) if home.is_dir() else []:
        if path.name.startswith("."):
            continue
        if (path.is_dir() and (path / "bundle.json").exists()) or path.suffix == ".tar" or path.suffix == ".json":
            try:
                found.append(contract_at(str(path), delivery=delivery))
            except (ContractInvalid, BundleInvalid) as err:
                raise type(err)(f"{path}: {err}", path=err.path, help=err.help) from err
    if not found:
        raise NotFound("not_found", f"there is no contract and no bundle in {directory}")
    return found
