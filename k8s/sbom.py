"""What an image is made of, as CycloneDX: run inside of the image, it asks Python and dpkg what is installed.

It uses the standard library alone, since it runs in images that have nothing else. Which vulnerabilities are known of
these packages is left to the scanners that read such a document.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from importlib import metadata
from typing import Any
from urllib.parse import quote


def main() -> None:
    """Write the document of the image that is named to standard output; the same one each time that it is asked for."""
    name, created = (*sys.argv[1:], "")[:2]
    components = sorted(python_packages() + debian_packages(), key=lambda item: item["purl"])
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([name, created, components]))}",
        "version": 1,
        "metadata": {
            "timestamp": created or datetime.now(UTC).isoformat(timespec="seconds"),
            "component": {"type": "container", "name": name, "version": metadata.version("fivefold")},
        },
        "components": components,
    }
    json.dump(document, sys.stdout, indent=1)
    print()


def python_packages() -> list[dict[str, Any]]:
    """Every distribution that this interpreter finds."""
    found = []
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"].lower().replace("_", "-"), distribution.version
        item: dict[str, Any] = _component(name, version, f"pkg:pypi/{name}@{quote(version)}")
        spoken = distribution.metadata.get("License-Expression")
        if spoken:
            item["licenses"] = [{"expression": spoken}]
        found.append(item)
    return found


def debian_packages() -> list[dict[str, Any]]:
    """Every package that dpkg knows as installed; none where there is no dpkg."""
    dpkg = shutil.which("dpkg-query")
    if dpkg is None:
        return []
    form = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n"
    listed = subprocess.run([dpkg, "-W", "-f", form], check=True, capture_output=True, text=True)  # noqa: S603  # ours
    found = []
    for line in listed.stdout.splitlines():
        state, name, version, architecture = line.split("\t")
        if state.startswith("ii"):
            purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"
            found.append(_component(name, version, purl))
    return found


def _component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main()
