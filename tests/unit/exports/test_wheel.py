"""The wheel made from the installed package."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path

from packaging.metadata import Metadata
from packaging.utils import parse_wheel_filename

from fivefold.exports.wheel import wheel

PACKAGE = Path(__file__).parents[3] / "services" / "fivefold"


def _files() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(wheel()[1])) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_its_name_says_what_it_is() -> None:
    """As installers read it: this version, for any Python 3 on any machine."""
    name, version, _, tags = parse_wheel_filename(wheel()[0])

    assert (name, str(version)) == ("fivefold", metadata.version("fivefold"))
    assert {str(tag) for tag in tags} == {"py3-none-any"}


def test_it_holds_the_whole_package() -> None:
    """Every file, the page's and the protocol's too, and nothing that Python has compiled."""
    files = _files()

    assert {name.removeprefix("fivefold/"): data for name, data in files.items() if name.startswith("fivefold/")} == {
        path.relative_to(PACKAGE).as_posix(): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def test_its_record_is_true() -> None:
    """Every file is listed once, with its digest and size; the record itself without."""
    files = _files()
    (record,) = (name for name in files if name.endswith("/RECORD"))

    listed = dict(line.split(",", 1) for line in files[record].decode().splitlines())
    assert set(listed) == set(files)
    for name, rest in listed.items():
        digest = urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        assert rest == ("," if name == record else f"sha256={digest},{len(files[name])}")


def test_its_metadata_is_the_packages_own() -> None:
    """Dependencies, extras, licence and the command; nothing of how this machine installed it."""
    files = _files()
    about = {name.partition(".dist-info/")[2]: data for name, data in files.items() if ".dist-info/" in name}

    read = Metadata.from_email(about["METADATA"], validate=False)
    assert set(about) == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert [str(item) for item in read.requires_dist or ()] != []
    assert "http" in (read.provides_extra or ())
    assert b"fivefold = fivefold.cli:main" in about["entry_points.txt"]


def test_python_runs_it(tmp_path: Path) -> None:
    """The command prints its version from the wheel, with this package nowhere on the path."""
    name, data = wheel()
    (tmp_path / name).write_bytes(data)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import fivefold.cli; assert fivefold.__file__.startswith(sys.argv[1]), fivefold.__file__\n"
        "sys.exit(fivefold.cli.main(['version']))"
    )

    out = subprocess.run(
        [sys.executable, "-I", "-c", program, tmp_path / name], capture_output=True, text=True, cwd=tmp_path
    )

    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith(f"fivefold {metadata.version('fivefold')}\n")


def test_the_same_package_gives_the_same_bytes() -> None:
    """No clock gets into it."""
    assert wheel() == wheel()
