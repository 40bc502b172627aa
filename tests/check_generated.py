"""Prove that generated files and locks are up to date: make them again elsewhere and compare.

Run by `make check`. Prints what differs and the command that mends it; exits 1 then.
"""

import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def stale_generated(scratch: Path) -> list[str]:
    """Generated files that differ from what their generator writes now."""
    from fivefold.serving.grpc import generate

    generate.generate(scratch)
    made = [path.relative_to(scratch) for path in scratch.rglob("*") if path.is_file()]
    return [
        f"services/{path}"
        for path in made
        if not (ROOT / "services" / path).is_file() or not filecmp.cmp(scratch / path, ROOT / "services" / path, False)
    ]


def stale_pages() -> list[str]:
    """Pages of the documentation that are written by the code and differ from what it writes now."""
    from helm import readme

    from fivefold.commands import settings_page
    from fivefold.evolution import rules_page
    from fivefold.evolution.rule import PAGE
    from fivefold.exports import contract_file_schema, contract_page

    made = {
        PAGE: rules_page.page().encode(),
        contract_page.PAGE: contract_page.page().encode(),
        contract_file_schema.PAGE: contract_file_schema.text(),
        settings_page.PAGE: settings_page.page().encode(),
        readme.PAGE: readme.page().encode(),
    }
    return [page for page, text in made.items() if not (ROOT / page).is_file() or (ROOT / page).read_bytes() != text]


def stale_site(scratch: Path) -> list[str]:
    """What browsers load and differs from what its sources give now, byte for byte.

    Without node, or without what it is built with, that is left out and said; on CI it is an error.
    """
    browser, package = ROOT / "services" / "browser", ROOT / "services" / "fivefold"
    node = shutil.which("node")
    if node is None or not (browser / "node_modules" / "esbuild").is_dir():
        why = "no node on PATH" if node is None else "make services/browser/node_modules/.done has not been run"
        print(f"left out: what services/browser builds ({why})")
        return ["services/browser"] if os.environ.get("CI") == "true" else []
    subprocess.run([node, "build.mjs", str(scratch)], cwd=browser, check=True)
    return [
        str(path.relative_to(ROOT))
        for path in (package / made.relative_to(scratch) for made in sorted(scratch.rglob("*")) if made.is_file())
        if not path.is_file() or not filecmp.cmp(scratch / path.relative_to(package), path, False)
    ]


def stale_locks() -> list[str]:
    """Locks that no longer satisfy pyproject.toml: every direct requirement pinned, and pinned inside its range."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]

    def direct(*names: str) -> list[Requirement]:
        found = [Requirement(line) for line in project["project"]["dependencies"]]
        for name in names:
            for line in extras[name]:
                requirement = Requirement(line)
                found += direct(*requirement.extras) if requirement.name == "fivefold" else [requirement]
        return found

    wanted = {
        "run.txt": direct("run"),
        "stream.txt": direct("stream"),
        "gateway.txt": direct("edge"),
        "hub.txt": direct("hub", "stream"),
        "dev.txt": direct("all") + [Requirement(line) for line in project["dependency-groups"]["dev"]],
    }
    wrong = []
    for name, requirements in wanted.items():
        text = (ROOT / "requirements" / name).read_text()
        pins: dict[str, list[str]] = {}
        for pinned, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
            pins.setdefault(canonicalize_name(pinned), []).append(version)
        for requirement in requirements:
            versions = pins.get(canonicalize_name(requirement.name), [])
            if not versions or not all(requirement.specifier.contains(version) for version in versions):
                wrong.append(
                    f"requirements/{name}: {requirement} is not what it pins ({', '.join(versions) or 'nothing'})"
                )
        if re.search(r"https?://", text):
            wrong.append(f"requirements/{name}: names an address")
    return wrong


def main() -> int:
    """Check everything; 0 = up to date."""
    sys.path[:0] = [str(ROOT / "services"), str(ROOT)]
    with tempfile.TemporaryDirectory() as scratch:
        for room in ("services/fivefold", "site"):
            (Path(scratch) / room).mkdir(parents=True)
        generated = stale_generated(Path(scratch) / "services") + stale_pages() + stale_site(Path(scratch) / "site")
    locks = stale_locks()
    tracked = subprocess.run(
        ["git", "ls-files", "-ci", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    for line in generated:
        print(f"stale: {line}\nhelp: make generate")
    for line in locks:
        print(f"stale: {line}\nhelp: make lock")
    for line in tracked.splitlines():
        print(f"tracked although ignored: {line}")
    return bool(generated or locks or tracked.strip())


if __name__ == "__main__":
    sys.exit(main())
