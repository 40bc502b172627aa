"""The same model as a bundle that answers other contract versions: nothing of it is converted or asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fivefold.core.bundle.binding import MANIFEST
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion, path_of
from fivefold.core.bundle.manifest import CONTRACT, GOLDEN, SIGNATURE


def answering(
    bundle: Bundle, directory: str | Path, carried: Sequence[CarriedVersion], default_contract: str | None = None
) -> Bundle:
    """Write the model as another bundle, which answers these contract versions beside its own.

    They take the place of those that it carries now, and with them its default one; the new bundle has a digest of its
    own and no signature. What stands in the directory is treated as by `Bundle.write`. Raises `BundleInvalid`.
    """
    manifest = bundle.manifest
    given, answers = bundle.golden()
    other = {MANIFEST, SIGNATURE, CONTRACT, GOLDEN, *(path_of(entry.version) for entry in manifest.contracts)}
    return Bundle.write(
        directory,
        contract=bundle.contract,
        model={path: bundle.read(path) for path in bundle.names() if path not in other},
        runtime=manifest.runtime,
        golden=(given.to_records(), answers.to_records()),
        tolerance=manifest.tolerance,
        binding=manifest.binding,
        entry=manifest.entry,
        name=bundle.name,
        version=bundle.version,
        facts=manifest.created_from,
        targets=manifest.targets,
        frame=manifest.frame,
        packages=manifest.packages,
        carried=carried,
        default_contract=default_contract,
    )
