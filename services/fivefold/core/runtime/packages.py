"""The packages that a Python model was packed with, held against those that are installed here.

A model that was fitted under another major or minor version of its library may load and answer something else, so that
is refused; a patch release may differ, and the golden rows prove the rest. Which packages a model needs is left to
packing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata

from fivefold.core.bundle.binding import refused

_RELEASE = re.compile(r"\s*v?(?:(\d+)!)?(\d+)(?:\.(\d+))?")


def check_packages(packages: Mapping[str, str]) -> None:
    """Refuse where a named package is absent or of another major or minor version: `BundleInvalid` at bundle.json.

    `packages` maps the name of a distribution to the version that the model was packed with.
    """
    for name, version in packages.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            message = f"the model needs {name} {version}, which is not installed"
            raise refused(f"packages.{name}", message, f"pip install {name}=={version}") from None
        if not _agree(version, found):
            raise refused(
                f"packages.{name}",
                f"the model was packed with {name} {version}, and {found} is installed",
                f"pip install {name}=={version}, or pack the model again with {name} {found}",
            )


def _agree(wanted: str, found: str) -> bool:
    """Whether two versions have the same epoch, major and minor number; versions without numbers are equal or not."""
    ours, theirs = _RELEASE.match(wanted), _RELEASE.match(found)
    if ours is None or theirs is None:
        return wanted == found
    return [int(part or 0) for part in ours.groups()] == [int(part or 0) for part in theirs.groups()]
