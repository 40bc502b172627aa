"""A bundle opens only as it was packed, and is written all or nothing."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import bundles
from tests.support.bundles import put_file, write_python, write_sum

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A bundle that tests only read, or damage and mend again."""
    directory = tmp_path_factory.mktemp("packed") / "sum"
    write_sum(directory)
    return directory


@pytest.fixture
def directory(packed, tmp_path):
    """A bundle's directory to damage."""
    return Path(shutil.copytree(packed, tmp_path / "sum"))


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_an_opened_bundle_is_what_was_written(directory):
    """Names, contract, golden rows and bytes come back."""
    bundle = Bundle.open(directory)
    given_rows, answers = bundle.golden()

    assert (bundle.name, bundle.version, bundle.contract) == ("demo", "1", bundles.SUM_CONTRACT)
    assert bundle.names() == ("bundle.json", "contract.json", "golden.jsonl", "model.onnx")
    assert bundle.read("model.onnx") == bundles.SUM_MODEL
    assert given_rows.to_records() == bundles.SUM_GOLDEN[0]
    assert answers.to_records() == bundles.SUM_GOLDEN[1]
    assert bundle.manifest.binding == bundles.SUM_BINDING
    assert not bundle.signed
    assert bundle.signer is None
    with pytest.raises(KeyError):
        bundle.read("model/other.py")


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    """Nothing of the time, the place or the order of facts is in a bundle."""
    one = write_sum(tmp_path / "one", facts={"kind": "onnx", "numpy": "2.0"})
    two = write_sum(tmp_path / "deep" / "two", facts={"numpy": "2.0", "kind": "onnx"})

    assert content(tmp_path / "one") == content(tmp_path / "deep" / "two")
    assert one.digest == two.digest


def test_the_digest_is_that_of_the_manifest(directory):
    """Anybody can compute a bundle's identity with sha256sum."""
    import hashlib

    assert Bundle.open(directory).digest == hashlib.sha256((directory / "bundle.json").read_bytes()).hexdigest()


def test_name_and_version_can_be_given(tmp_path):
    """The contract's name is only the default."""
    bundle = write_sum(tmp_path / "b", name="other", version="2.1")

    assert (bundle.name, bundle.version, bundle.contract.name) == ("other", "2.1", "demo")
    assert repr(bundle).startswith("Bundle(other@2.1, ")


def test_verified_bytes_are_the_bytes_served(directory):
    """A file that changes after opening changes nothing that is served."""
    bundle = Bundle.open(directory)
    for path in directory.iterdir():
        path.write_bytes(b"other")

    assert bundle.read("model.onnx") == bundles.SUM_MODEL


def test_a_directory_reached_through_a_link_opens(directory, tmp_path):
    """`models/current` may be a link; only links inside the bundle are refused."""
    (tmp_path / "current").symlink_to(directory)

    assert Bundle.open(tmp_path / "current").name == "demo"


def test_targets_follow_the_runtime(tmp_path):
    """A Python model says that it has no browser target."""
    assert write_sum(tmp_path / "onnx").manifest.targets == ("server", "gateway", "browser")
    assert write_python(tmp_path / "python").manifest.targets == ("server", "gateway")


# ---------------------------------------------------------------------------------------------- writing


def test_writing_again_changes_nothing(tmp_path):
    """The same bundle is left as it stands, with its signature."""
    write_sum(tmp_path / "b")
    (tmp_path / "b" / "bundle.sig").write_bytes(bytes(64))
    before = (tmp_path / "b" / "bundle.json").stat()

    bundle = write_sum(tmp_path / "b")

    assert bundle.signed
    assert (tmp_path / "b" / "bundle.json").stat().st_ino == before.st_ino


def test_another_bundle_replaces_the_older_one(tmp_path):
    """All of it: nothing of the older bundle stays, and nothing lies beside it."""
    write_python(tmp_path / "b")
    bundle = write_sum(tmp_path / "b", version="2")

    assert Bundle.open(tmp_path / "b").digest == bundle.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


def test_a_damaged_bundle_is_replaced(tmp_path):
    """Packing again is the cure for a bundle that no longer opens."""
    write_sum(tmp_path / "b")
    (tmp_path / "b" / "model.onnx").unlink()

    write_sum(tmp_path / "b")

    assert Bundle.open(tmp_path / "b").read("model.onnx") == bundles.SUM_MODEL


def test_writing_through_a_link_replaces_what_it_points_to(tmp_path):
    """The link stays a link."""
    write_sum(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    write_sum(tmp_path / "link", version="2")

    assert (tmp_path / "link").is_symlink()
    assert Bundle.open(tmp_path / "real").version == "2"


def test_an_empty_directory_is_filled(tmp_path):
    """A directory that somebody made beforehand is as good as none."""
    (tmp_path / "b").mkdir()

    assert write_sum(tmp_path / "b").name == "demo"


@pytest.mark.parametrize("stranger", ["notes.txt", "bundle.json.bak", "model.pkl"])
def test_a_directory_with_other_things_is_never_replaced(tmp_path, stranger):
    """Neither a directory that is no bundle nor a bundle with somebody's notes in it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / stranger).write_text("mine")
    write_sum(tmp_path / "b")
    (tmp_path / "b" / stranger).write_text("mine")

    for target in ("home", "b"):
        with pytest.raises(BundleInvalid, match="other than a bundle"):
            write_sum(tmp_path / target, version="2")

        assert (tmp_path / target / stranger).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "home"]


@pytest.mark.parametrize("through", ["the directory", "a link"])
def test_nothing_is_written_into_a_bundle(directory, tmp_path, through):
    """A bundle with one file more than its manifest lists is opened by nobody."""
    (tmp_path / "link").symlink_to(directory)
    inside = (directory if through == "the directory" else tmp_path / "link") / "deep" / "place"

    for write in (write_sum, Bundle.open(directory).copy, Bundle.open(directory).archive):
        with pytest.raises(BundleInvalid, match="would lie in the bundle") as refused:
            write(inside)
        assert refused.value.help

    Bundle.open(directory)


def test_a_file_is_never_replaced(tmp_path):
    """A bundle is written to a directory."""
    (tmp_path / "b").write_text("mine")

    with pytest.raises(BundleInvalid, match="is a file"):
        write_sum(tmp_path / "b")


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    """An error of the disk is an error of the product, not a traceback."""
    (tmp_path / "file").write_text("mine")

    with pytest.raises(BundleInvalid, match="cannot write"):
        write_sum(tmp_path / "file" / "b")


def two_rows(**changes):
    given_rows, answers = [dict(row) for row in bundles.SUM_GOLDEN[0]], [dict(row) for row in bundles.SUM_GOLDEN[1]]
    for name, value in changes.items():
        (given_rows if name in "ab" else answers)[1][name] = value
    return given_rows, answers


UNWRITABLE = {
    "no golden rows": ({"golden": ([], [])}, "golden.jsonl", "1 to 256"),
    "too many golden rows": ({"golden": tuple(rows * 33 for rows in bundles.SUM_GOLDEN)}, "golden.jsonl", "got 264"),
    "golden rows of unequal number": ({"golden": (bundles.SUM_GOLDEN[0], [])}, "golden.jsonl", "8 golden rows in, 0"),
    "a golden input outside": ({"golden": two_rows(a=101)}, "golden.jsonl", r"inputs\.a\[1\]: .*at most 100"),
    "a golden output outside": ({"golden": two_rows(label=7)}, "golden.jsonl", r"outputs\.label\[1\]: .*at most 1"),
    "a golden output of another type": ({"golden": two_rows(total="x")}, "golden.jsonl", r"outputs\.total\[1\]"),
    "a golden value that is not JSON": ({"golden": two_rows(a=float("nan"))}, "golden.jsonl", "not JSON"),
    "a golden value without a form": ({"golden": two_rows(a=b"x")}, "golden.jsonl", "not JSON"),
    "a lone surrogate": ({"golden": two_rows(a="\ud800")}, "golden.jsonl", "not JSON"),
    "no model": ({"model": {}}, "model.onnx", "no such file"),
    "a second model": ({"model": {"model.onnx": b"", "other.onnx": b""}}, "other.onnx", "not a file that a bundle"),
    "a file of our own": ({"model": {"model.onnx": b"", "contract.json": b""}}, "contract.json", "written by the"),
    "a path outside": ({"model": {"../model.onnx": b""}}, "../model.onnx", "inside the bundle"),
    "a runtime without a name": ({"runtime": "tensorflow"}, "model.onnx", "runtime 'tensorflow'"),
    "no binding": ({"binding": None}, "bundle.json", "binding: an ONNX model needs"),
    "an entry": ({"entry": "a:B"}, "model/a.py", "entry names"),
    "a version that is none": ({"version": "../1"}, "bundle.json", "version: "),
    "a name that is none": ({"name": "a/b"}, "bundle.json", "name: "),
    "an empty name": ({"name": ""}, "bundle.json", "name: "),
    "a negative tolerance": ({"tolerance": -0.1}, "bundle.json", "tolerance: "),
    "a tolerance that is not finite": ({"tolerance": float("inf")}, "bundle.json", "not JSON"),
    "facts that are not JSON": ({"facts": {"at": object()}}, "bundle.json", "not JSON"),
    "a target elsewhere": ({"targets": ["server", "moon"]}, "bundle.json", r"targets\[1\]"),
    "no server": ({"targets": ["browser"]}, "bundle.json", "targets: "),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_would_not_open_is_not_written(tmp_path, case):
    """Wrong arguments are refused with the file they would have spoilt, and leave nothing behind."""
    changes, path, message = UNWRITABLE[case]

    with pytest.raises(BundleInvalid, match=message) as caught:
        write_sum(tmp_path / "b", **changes)

    assert (caught.value.code, caught.value.path) == ("bundle_invalid", path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------- opening


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def replace_by_link(path: Path) -> None:
    moved = path.parent.parent / "moved"
    path.rename(moved)
    path.symlink_to(moved)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def listening(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as special:
        special.bind(str(path))


def golden_lines(change):
    def damage(directory: Path) -> None:
        put_file(directory, "golden.jsonl", change((directory / "golden.jsonl").read_bytes()))

    return damage


def contract_with(**changes):
    def damage(directory: Path) -> None:
        values = json.loads((directory / "contract.json").read_bytes()) | changes
        put_file(directory, "contract.json", json.dumps(values).encode())

    return damage


def one_output(directory: Path) -> None:
    values = json.loads((directory / "contract.json").read_bytes())
    values["outputs"].pop()
    put_file(directory, "contract.json", json.dumps(values).encode())


LINE = b'{"in":{"a":1,"b":1},"out":{"total":2,"label":1}}\n'

DAMAGES = {
    "no manifest": (lambda d: (d / "bundle.json").unlink(), "bundle.json", "no such file"),
    "no contract": (lambda d: (d / "contract.json").unlink(), "contract.json", "no such file"),
    "no golden rows": (lambda d: (d / "golden.jsonl").unlink(), "golden.jsonl", "no such file"),
    "no model": (lambda d: (d / "model.onnx").unlink(), "model.onnx", "no such file"),
    "an empty manifest": (lambda d: (d / "bundle.json").write_bytes(b""), "bundle.json", "not JSON"),
    "an oversize manifest": (lambda d: (d / "bundle.json").write_bytes(b" " * (5 << 20)), "bundle.json", "at most"),
    "an empty model": (lambda d: (d / "model.onnx").write_bytes(b""), "model.onnx", "expected .* bytes, got 0"),
    "a longer model": (lambda d: longer(d / "model.onnx"), "model.onnx", "expected .* bytes, got"),
    "a shorter model": (lambda d: os.truncate(d / "model.onnx", 9), "model.onnx", "got 9"),
    "a longer contract": (lambda d: longer(d / "contract.json"), "contract.json", "bytes, got"),
    "a file beside": (lambda d: (d / "README.md").write_text("hello"), "README.md", "not listed"),
    "a hidden file": (lambda d: (d / ".DS_Store").write_text(""), ".DS_Store", "not listed"),
    "a second model": (lambda d: (d / "model2.onnx").write_text(""), "model2.onnx", "not listed"),
    "a file in a directory": (lambda d: [(d / "x").mkdir(), (d / "x" / "y").touch()], "x/y", "not listed"),
    "an empty directory": (lambda d: (d / "model").mkdir(), "model", "empty directory"),
    "a name with control characters": (lambda d: (d / "a\nb").touch(), "a\\nb", "not listed"),
    "a name that is not UTF-8": (lambda d: (d / "a\udcff").touch(), "a\\udcff", "not listed"),
    "a model that is a link": (lambda d: replace_by_link(d / "model.onnx"), "model.onnx", "symbolic link"),
    "a manifest that is a link": (lambda d: replace_by_link(d / "bundle.json"), "bundle.json", "symbolic link"),
    "a contract that is a link": (lambda d: replace_by_link(d / "contract.json"), "contract.json", "symbolic link"),
    "a dangling link": (lambda d: (d / "model.onnx2").symlink_to("/nowhere"), "model.onnx2", "symbolic link"),
    "a link to a directory": (lambda d: (d / "model").symlink_to(d.parent), "model", "symbolic link"),
    "a named pipe": (lambda d: fifo(d / "model.onnx"), "model.onnx", "not a regular file"),
    "a socket": (lambda d: listening(d / "golden.jsonl"), "golden.jsonl", "not a regular file"),
    "a model that is a directory": (
        lambda d: [(d / "model.onnx").unlink(), (d / "model.onnx").mkdir(), (d / "model.onnx" / "x").touch()],
        "model.onnx/x",
        "not listed",
    ),
    "a short signature": (lambda d: (d / "bundle.sig").write_bytes(bytes(63)), "bundle.sig", "expected 64 bytes"),
    "a long signature": (lambda d: (d / "bundle.sig").write_bytes(bytes(65)), "bundle.sig", "at most 64"),
    "an empty signature": (lambda d: (d / "bundle.sig").write_bytes(b""), "bundle.sig", "expected 64 bytes"),
    "a contract that is not JSON": (lambda d: put_file(d, "contract.json", b"{"), "contract.json", "not JSON"),
    "a contract without fields": (contract_with(inputs=[]), "contract.json", "inputs: "),
    "a contract with a strange keyword": (contract_with(speed=1), "contract.json", "speed"),
    "a contract of another name": (contract_with(name="other"), "bundle.json", r"contract\.name: expected 'other'"),
    "a contract of another version": (contract_with(version="9"), "bundle.json", r"contract\.version: expected '9'"),
    "a contract of another form": (contract_with(), "bundle.json", r"contract\.sha256"),
    "golden rows without lines": (golden_lines(lambda raw: b""), "golden.jsonl", "got 0"),
    "golden rows without an end": (golden_lines(lambda raw: raw[:-1]), "golden.jsonl", "each ended"),
    "golden rows with a gap": (golden_lines(lambda raw: LINE + b"\n" + LINE), "golden.jsonl", "row 1: "),
    "too many golden rows": (golden_lines(lambda raw: LINE * 257), "golden.jsonl", "got 257"),
    "a golden row without an answer": (golden_lines(lambda raw: b'{"in":{"a":1,"b":1}}\n'), "golden.jsonl", "row 0: "),
    "a golden row with more": (
        golden_lines(lambda raw: LINE.replace(b'"out"', b'"why":1,"out"')),
        "golden.jsonl",
        "row 0: .*why",
    ),
    "a golden row that is a list": (golden_lines(lambda raw: LINE + b"[1,2]\n"), "golden.jsonl", "row 1: "),
    "a golden row that is not UTF-8": (golden_lines(lambda raw: LINE + b"\xff\n"), "golden.jsonl", "row 1: "),
    "a golden input that is no record": (
        golden_lines(lambda raw: b'{"in":7,"out":{"total":2,"label":1}}\n'),
        "golden.jsonl",
        r"inputs\[0\]",
    ),
    "a golden input unknown": (
        golden_lines(lambda raw: LINE.replace(b'"a"', b'"aa"')),
        "golden.jsonl",
        r"inputs\.aa: no such field",
    ),
    "a golden input missing": (
        golden_lines(lambda raw: LINE + LINE.replace(b'"a":1,', b"")),
        "golden.jsonl",
        r"inputs\.a\[1\]: ",
    ),
    "a golden output of another kind": (
        golden_lines(lambda raw: LINE + LINE.replace(b'"label":1', b'"label":true')),
        "golden.jsonl",
        r"outputs\.label\[1\]: ",
    ),
    "golden rows nested deeply": (
        golden_lines(lambda raw: b'{"in":' + b"[" * 5000 + b"]" * 5000 + b',"out":{}}\n'),
        "golden.jsonl",
        "nested|recursion|depth",
    ),
    "everything replaced by nothing": (
        lambda d: [path.write_bytes(b"") for path in d.iterdir()],
        "bundle.json",
        "not JSON",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_bundle_is_refused_with_the_name_of_the_file(directory, case):
    """Whatever is missing, more, different or not a plain file is named."""
    damage, path, message = DAMAGES[case]
    damage(directory)

    with pytest.raises(BundleInvalid, match=message) as caught:
        Bundle.open(directory)

    assert (caught.value.code, caught.value.path) == ("bundle_invalid", path)


def test_the_table_of_damages_is_long():
    """At least forty ways to spoil a bundle."""
    assert len(DAMAGES) >= 40


@pytest.mark.parametrize("examples", [30, pytest.param(120, marks=pytest.mark.full)])
@pytest.mark.parametrize("file", ["bundle.json", "contract.json", "golden.jsonl", "model.onnx"])
def test_a_flipped_bit_anywhere_is_refused_with_the_name_of_the_file(packed, file, examples):
    """Every byte counts, those of the manifest too, without any key."""
    path = packed / file
    whole = path.read_bytes()

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, len(whole) - 1), st.integers(0, 7))
    def flip(offset, bit):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << bit
        path.write_bytes(damaged)

        with pytest.raises(BundleInvalid) as caught:
            Bundle.open(packed)

        assert caught.value.path == file

    try:
        flip()
    finally:
        path.write_bytes(whole)


def test_more_bytes_than_allowed_are_refused(directory):
    """Before a file is read: the largest is named."""
    with pytest.raises(BundleInvalid, match="more than 500") as caught:
        Bundle.open(directory, max_bytes=500)

    assert caught.value.path == "contract.json"


@pytest.mark.parametrize("kind", ["nothing", "pipe", "text"])
def test_a_place_without_a_bundle_is_said(tmp_path, kind):
    """A path that is neither a directory nor an archive names itself."""
    place = tmp_path / "place"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "text":
        place.write_text("hello")

    with pytest.raises(BundleInvalid, match=r"place|ends too early"):
        Bundle.open(place)


def test_a_python_bundle_needs_the_file_of_its_entry(tmp_path):
    """An entry points into the bundle, as a module or as a package."""
    with pytest.raises(BundleInvalid, match="entry names 'other:Sum'") as caught:
        write_python(tmp_path / "b", entry="other:Sum")
    package = {"model/kit/__init__.py": b"", "model/kit/adder/__init__.py": bundles.PYTHON_SUM}

    assert caught.value.path == "model/other.py"
    assert write_python(tmp_path / "b", model=package, entry="kit.adder:Sum").manifest.entry == "kit.adder:Sum"


def test_a_file_inside_a_file_is_refused(tmp_path):
    """No disk could hold both."""
    model = {"model/adder.py": bundles.PYTHON_SUM, "model/data": b"", "model/data/more": b""}

    with pytest.raises(BundleInvalid, match="inside another file") as caught:
        write_python(tmp_path / "b", model=model)

    assert caught.value.path == "model/data/more"


@pytest.mark.parametrize(
    "entry", ["adder", ":Sum", "adder:", "adder:Sum:x", "../adder:Sum", "adder:Sum()", "a b:C", None]
)
def test_an_entry_is_a_module_and_a_class(tmp_path, entry):
    """Nothing else is ever imported."""
    with pytest.raises(BundleInvalid):
        write_python(tmp_path / "b", entry=entry)
