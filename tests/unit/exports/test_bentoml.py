"""The directory that `fivefold export --to bentoml` writes. What it answers is tests/conformance/test_bentoml.py's."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conformance import models

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.core.readers.records import Records
from fivefold.exports import bentoml


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An ONNX bundle."""
    return models.bundle("linear", tmp_path_factory.mktemp("linear"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same model in another version."""
    return models.bundle("linear", tmp_path_factory.mktemp("other"), version="2.0")


def _contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_bundles_are_copied_byte_by_byte(linear: Bundle, other: Bundle, tmp_path: Path) -> None:
    """Each in its own folder, whatever form it came in; each opens."""
    tar = other.archive(tmp_path / "other.tar")

    written = bentoml.write([linear.path, tar], tmp_path / "service")

    assert tmp_path / "service" / "bundles" / "linear-1" in written
    assert tmp_path / "service" / "bundles" / "linear-2.0" in written
    for bundle in (linear, other):
        copied = Bundle.open(tmp_path / "service" / "bundles" / f"linear-{bundle.version}")
        assert {name: copied.read(name) for name in copied.names()} == {
            name: bundle.read(name) for name in bundle.names()
        }


def test_everything_there_is_named(linear: Bundle, tmp_path: Path) -> None:
    """What the function gives is what lies in the directory, a bundle as its folder."""
    service = tmp_path / "service"

    written = bentoml.write([linear.path], service)

    found = {path for path in service.rglob("*") if path.is_file()}
    assert {path for path in found if "bundles" in path.parts} == {
        path for place in written if place.is_dir() for path in place.iterdir()
    }
    assert {path for path in found if "bundles" not in path.parts} == {path for path in written if path.is_file()}


def test_the_service_serves_those_bundles(linear: Bundle, other: Bundle, tmp_path: Path) -> None:
    """service.py is Python, and names the folders relative to itself."""
    bentoml.write([linear.path, other.path], tmp_path)

    text = (tmp_path / "service.py").read_text()
    compile(text, "service.py", "exec")
    assert 'BUNDLES = (\n    "bundles/linear-1",\n    "bundles/linear-2.0",\n)' in text
    assert "@" not in re.sub(r"^ *@bentoml\.", "", text, flags=re.MULTILINE)


def test_the_requirements_name_the_wheel_and_what_computes(linear: Bundle, tmp_path: Path) -> None:
    """The wheel is there, and what answers numbers is pinned."""
    bentoml.write([linear.path], tmp_path)

    lines = (tmp_path / "requirements.txt").read_text().splitlines()
    assert (tmp_path / lines[0]).is_file()
    assert [line.partition("==")[0] for line in lines if "==" in line] == ["numpy", "onnxruntime"]
    assert any(line.startswith("fastapi>=") for line in lines)


def test_the_request_in_the_readme_is_one_that_the_contract_takes(linear: Bundle, tmp_path: Path) -> None:
    """It can be pasted into a shell as it stands."""
    bentoml.write([linear.path], tmp_path)

    (command,) = re.findall(r"^curl .*?(?=^```)", (tmp_path / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    words = shlex.split(command)
    body = words[words.index("-d") + 1].encode()
    assert words[2] == "http://127.0.0.1:3000/v1/models/linear:predict"
    assert Records(linear.contract.inputs).read_json(body).accept().rows == 1


def test_the_same_bundles_give_the_same_bytes(linear: Bundle, tmp_path: Path) -> None:
    """Nothing of the time or the place gets into an export."""
    bentoml.write([linear.path], tmp_path / "one")
    bentoml.write([linear.archive(tmp_path / "linear.tar")], tmp_path / "two" / "deep")

    assert _contents(tmp_path / "one") == _contents(tmp_path / "two" / "deep")


def test_an_export_that_is_there_already_is_left_alone(linear: Bundle, tmp_path: Path) -> None:
    """A directory that a server reads from is not swapped for nothing; what Python leaves in it is no stranger."""
    service = tmp_path / "service"
    first = bentoml.write([linear.path], service)
    (service / "__pycache__").mkdir()
    (service / "__pycache__" / "service.cpython-311.pyc").write_bytes(b"")
    before = service.stat().st_ino

    assert bentoml.write([linear.path], service) == first

    assert service.stat().st_ino == before
    assert (service / "__pycache__").is_dir()


def test_an_older_export_is_replaced_whole(linear: Bundle, other: Bundle, tmp_path: Path) -> None:
    """No bundle of the older one stays behind."""
    bentoml.write([linear.path], tmp_path / "service")
    bentoml.write([other.path], tmp_path / "service")
    bentoml.write([other.path], tmp_path / "afresh")

    assert _contents(tmp_path / "service") == _contents(tmp_path / "afresh")


def _stranger(service: Path) -> None:
    shutil.rmtree(service)
    service.mkdir()
    (service / "notes.txt").write_text("mine")


def _edited(service: Path) -> None:
    with (service / "service.py").open("a") as file:
        file.write("# mine\n")


def _added(service: Path) -> None:
    (service / "bundles" / "notes.txt").write_text("mine")


def _linked(service: Path) -> None:
    (service / "README.md").unlink()
    (service / "README.md").symlink_to("service.py")


def _foreign_mark(service: Path) -> None:
    (service / bentoml.MARK).write_text(json.dumps({"format": "other", "files": []}))


def _broken_mark(service: Path) -> None:
    (service / bentoml.MARK).write_text("{")


@pytest.mark.parametrize("change", [_stranger, _edited, _added, _linked, _foreign_mark, _broken_mark])
def test_what_an_export_did_not_write_is_never_replaced(
    change: Callable[[Path], None], linear: Bundle, other: Bundle, tmp_path: Path
) -> None:
    """Not a directory of somebody else's, and not an edited export; nothing is touched."""
    service = tmp_path / "service"
    bentoml.write([linear.path], service)
    change(service)
    before = _contents(tmp_path)

    with pytest.raises(FileExistsError):
        bentoml.write([other.path], service)

    assert _contents(tmp_path) == before


def test_a_file_is_no_directory(linear: Bundle, tmp_path: Path) -> None:
    """The file stays."""
    (tmp_path / "service").write_text("mine")

    with pytest.raises(FileExistsError):
        bentoml.write([linear.path], tmp_path / "service")

    assert (tmp_path / "service").read_text() == "mine"


def test_an_empty_directory_is_taken(linear: Bundle, tmp_path: Path) -> None:
    """As `mkdir` leaves one."""
    (tmp_path / "service").mkdir()

    bentoml.write([linear.path], tmp_path / "service")

    assert (tmp_path / "service" / "service.py").is_file()


def test_one_name_and_version_is_served_once(linear: Bundle, tmp_path: Path) -> None:
    """Two bundles that would answer for the same path are refused."""
    tar = linear.archive(tmp_path / "again.tar")

    with pytest.raises(BundleInvalid, match="two bundles would lie in bundles/linear-1"):
        bentoml.write([linear.path, tar], tmp_path / "service")

    assert not (tmp_path / "service").exists()


def test_a_bundle_that_does_not_open_is_not_exported(linear: Bundle, tmp_path: Path) -> None:
    """Every byte is verified before one is written."""
    broken = shutil.copytree(linear.path, tmp_path / "broken")
    (broken / "contract.json").write_text("{}")

    with pytest.raises(BundleInvalid):
        bentoml.write([broken], tmp_path / "service")

    assert not (tmp_path / "service").exists()


def test_the_command_prints_what_it_wrote(linear: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One path a line; what stands in the way is named."""
    service = tmp_path / "service"
    command = ["export", "--to", "bentoml", "--model", str(linear.path), "--output", str(service)]

    assert main(command) == 0
    assert str(service / "service.py") in capsys.readouterr().out.splitlines()

    _added(service)
    assert main(command) == 1
    assert (
        f"error: was added after the export; move it away or name another directory: {service}/bundles/notes.txt"
        in (capsys.readouterr().err)
    )
