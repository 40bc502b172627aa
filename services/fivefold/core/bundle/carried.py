"""The other contract versions that a bundle answers: `contracts/VERSION.json` and what bundle.json says of each.

Older ones keep their callers working on a new model, newer ones those of a release that was rolled back. A version is
carried only where an adapter answers all its callers; how it does is left to `fivefold.core.evolution`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fivefold.core.bundle.binding import refused
from fivefold.core.bundle.manifest import CONTRACTS, Manifest, VersionEntry
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.evolution.adapter import NotAdaptable
from fivefold.core.view import View, Views


@dataclass(frozen=True, slots=True)
class CarriedVersion:
    """A contract version that a bundle answers beside its own."""

    contract: Contract
    newer: bool = False
    """Whether it came after the model's own: the bundle then serves callers of a release that was taken back."""
    deprecated: dt.date | None = None
    sunset: dt.date | None = None

    @property
    def path(self) -> str:
        """Where it stands in the bundle."""
        return path_of(self.contract.version)

    def view(self, own: Contract) -> View:
        """The model of the contract `own` as this version's callers see it; raises `NotAdaptable`."""
        return View.between(self.contract, own, newer=self.newer, deprecated=self.deprecated, sunset=self.sunset)

    def entry(self) -> VersionEntry:
        """What bundle.json says of it."""
        return VersionEntry(
            self.contract.version,
            self.contract.digest,
            self.newer,
            None if self.deprecated is None else self.deprecated.isoformat(),
            None if self.sunset is None else self.sunset.isoformat(),
        )


def path_of(version: str) -> str:
    """The file of a contract version in a bundle."""
    return f"{CONTRACTS}{version}.json"


def oldest(own: Contract, carried: Sequence[CarriedVersion]) -> str:
    """The version that callers get who name none, unless somebody decides otherwise: what they have had longest."""
    older = [each.contract.version for each in carried if not each.newer]
    return older[0] if older else own.version


def in_order(carried: Sequence[CarriedVersion]) -> tuple[CarriedVersion, ...]:
    """Oldest first, as far as versions are numbers."""
    return tuple(sorted(carried, key=lambda each: (each.newer, _order(each.contract.version))))


def read_carried(manifest: Manifest, files: Mapping[str, bytes], own: Contract) -> tuple[CarriedVersion, ...]:
    """The versions of an opened bundle, as its manifest has them; raises `BundleInvalid`.

    Whether the model can answer them is found by `views_of`.
    """
    out: list[CarriedVersion] = []
    for index, entry in enumerate(manifest.contracts):
        where, path = f"contracts[{index}]", path_of(entry.version)
        try:
            contract = Contract.from_json(files[path])
        except ContractInvalid as err:
            raise BundleInvalid(str(err), path=path, help=err.help) from err
        for member, expected, found in (
            ("name", own.name, contract.name),
            ("version", entry.version, contract.version),
            ("sha256", entry.sha256, contract.digest),
        ):
            if expected != found:
                raise refused(f"{where}.{member}", f"expected {expected!r}, {path} has {found!r}")
        carried = CarriedVersion(contract, entry.newer, _date(entry.deprecated), _date(entry.sunset))
        if carried.deprecated and carried.sunset and carried.sunset < carried.deprecated:
            # RFC 9745, 4: the sunset is never earlier.
            raise refused(f"{where}.sunset", "before the deprecation")
        out.append(carried)
    return tuple(out)


def views_of(model: str, own: Contract, carried: Sequence[CarriedVersion], default: str) -> Views:
    """The views of a model under each version, oldest first; raises `BundleInvalid` for one that it cannot answer."""
    views = {each.contract.version: answered(each, own) for each in carried if not each.newer}
    views[own.version] = View.of(own)
    views |= {each.contract.version: answered(each, own) for each in carried if each.newer}
    return Views(model, views, own.version, default)


def answered(carried: CarriedVersion, own: Contract) -> View:
    """The model as that version's callers see it; raises `BundleInvalid` where it cannot answer them."""
    version = carried.contract.version
    try:
        return carried.view(own)
    except NotAdaptable as err:
        raise BundleInvalid(
            f"callers of {version} cannot be answered by {own.version}: {err}",
            path=carried.path,
            help=f"fivefold check shows why; without that version the bundle serves {own.version} alone",
        ) from err


def _date(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


def _order(version: str) -> list[tuple[int, int, str]]:
    """What sorts as people count: 1.9 before 1.10, and a word such as that of 2.0.0-rc.1 before the end of 2.0.0."""
    parts = re.split(r"[.+\-]", version)
    return [*((2, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), (1, 0, "")]
