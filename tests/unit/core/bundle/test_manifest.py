"""bundle.json is read strictly: every wrong member is refused with its place inside the file."""

import copy
import json
import time

import pytest
from tests.support.bundles import manifest, put_manifest, sealed, write_sum

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """A true bundle.json as values."""
    directory = tmp_path_factory.mktemp("manifest") / "sum"
    write_sum(directory)
    return directory, manifest(directory)


def at(path, value):
    """Replace the member at `a.b.0.c`; a value of `...` removes it."""

    def change(values):
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps:
            values = values[step]
        if value is ...:
            del values[last]
        else:
            values[last] = value

    return change


def more_files(*paths):
    def change(values):
        values["files"] += [{"path": path, "bytes": 0, "sha256": "0" * 64} for path in paths]

    return change


WRONG = {
    "no format": (at("format", ...), "bundle.json", "format"),
    "a later format": (at("format", 2), "bundle.json", "^bundle.json: format: "),
    "a format of another type": (at("format", True), "bundle.json", "format: "),
    "a format as text": (at("format", "1"), "bundle.json", "format: "),
    "an unknown member": (at("speed", 1), "bundle.json", "speed"),
    "no name": (at("name", ...), "bundle.json", "name"),
    "a name of another type": (at("name", 7), "bundle.json", "name: expected str, got int"),
    "a name with a slash": (at("name", "a/b"), "bundle.json", "name: "),
    "a name with a line": (at("name", "a\n"), "bundle.json", "name: "),
    "a long name": (at("name", "a" * 129), "bundle.json", "name: "),
    "a version of another type": (at("version", 1), "bundle.json", "version: expected str, got int"),
    "an empty version": (at("version", ""), "bundle.json", "version: "),
    "an unknown runtime": (at("runtime", "torch"), "bundle.json", "runtime: "),
    "a runtime without its binding": (at("binding", ...), "bundle.json", "binding: "),
    "another runtime": (at("runtime", "python"), "bundle.json", "binding: a Python model"),
    "an entry of no use": (at("entry", "a:B"), "bundle.json", "entry: "),
    "targets as text": (at("targets", "server"), "bundle.json", "targets: expected array"),
    "an unknown target": (at("targets.1", "moon"), "bundle.json", r"targets\[.*\]: "),
    "a target twice": (at("targets.1", "server"), "bundle.json", r"targets\[1\]: 'server' twice"),
    "no server": (at("targets", []), "bundle.json", "targets: every bundle"),
    "no contract": (at("contract", ...), "bundle.json", "contract"),
    "a contract of another name": (at("contract.name", "other"), "bundle.json", r"contract\.name: "),
    "a contract of another version": (at("contract.version", "7"), "bundle.json", r"contract\.version: "),
    "a contract of another digest": (at("contract.sha256", "0" * 64), "bundle.json", r"contract\.sha256: "),
    "a contract with more": (at("contract.path", "x"), "bundle.json", "path"),
    "no tolerance": (at("tolerance", ...), "bundle.json", "tolerance"),
    "a negative tolerance": (at("tolerance", -1e-9), "bundle.json", "tolerance: "),
    "a tolerance of two": (at("tolerance", 2), "bundle.json", "tolerance: "),
    "a tolerance as text": (at("tolerance", "0"), "bundle.json", "tolerance: "),
    "facts as a list": (at("created_from", []), "bundle.json", "created_from: "),
    "no files": (at("files", ...), "bundle.json", "files"),
    "no file": (at("files", []), "contract.json", "no such file"),
    "files as an object": (at("files", {}), "bundle.json", "files: expected array"),
    "a file without a size": (at("files.0.bytes", ...), "bundle.json", r"files\[.*\]: .*bytes"),
    "a negative size": (at("files.0.bytes", -1), "bundle.json", r"files\[.*\]\.bytes: "),
    "a size with a fraction": (at("files.0.bytes", 1.5), "bundle.json", r"files\[.*\]\.bytes: "),
    "a size beyond all": (at("files.0.bytes", 1 << 60), "bundle.json", r"files\[.*\]\.bytes: "),
    "another size": (at("files.0.bytes", 1), "contract.json", "expected 1 bytes"),
    "a digest too short": (at("files.0.sha256", "0" * 63), "bundle.json", r"files\[.*\]\.sha256: "),
    "a digest in capitals": (at("files.0.sha256", "A" * 64), "bundle.json", r"files\[.*\]\.sha256: "),
    "a digest with a line": (at("files.0.sha256", "0" * 64 + "\n"), "bundle.json", r"files\[.*\]\.sha256: "),
    "another digest": (at("files.2.sha256", "0" * 64), "model.onnx", "expected sha256 0000"),
    "a file with more": (at("files.0.mode", 7), "bundle.json", "mode"),
    "a file that is not there": (more_files("model/x.py"), "model/x.py", "not a file that a bundle"),
    "a file twice": (more_files("model.onnx"), "model.onnx", "the same path"),
    "a file in other capitals": (more_files("Model.onnx"), "Model.onnx", "the same path"),
    "an absolute path": (more_files("/etc/passwd"), "/etc/passwd", r"files\[3\]\.path: .*inside the bundle"),
    "a path upwards": (more_files("../x"), "../x", "inside the bundle"),
    "a path upwards from within": (more_files("model/../../x"), "model/../../x", "inside the bundle"),
    "a path with a dot": (more_files("./x"), "./x", "plain names"),
    "a path with two slashes": (more_files("model//x"), "model//x", "plain names"),
    "a path that ends in a slash": (more_files("model/"), "model/", "plain names"),
    "an empty path": (more_files(""), "", "plain names"),
    "a hidden file": (more_files(".ssh/id"), ".ssh/id", "plain names"),
    "a drive": (more_files("C:/x"), "C:/x", "plain names"),
    "a backslash": (more_files("model\\x"), "model\\x", "plain names"),
    "a zero byte": (more_files("model/\0"), "model/\\x00", "plain names"),
    "a path beyond ASCII": (more_files("model/\u00e9"), "model/\\xe9", "plain names"),
    "a long path": (more_files("model/" + "x" * 100), "model/" + "x" * 94, "at most 100"),
    "the signature listed": (more_files("bundle.sig"), "bundle.sig", "not a file that a bundle"),
    "too many files": (more_files(*(f"f{i}" for i in range(5000))), "bundle.json", "files: expected at most 4096"),
    "a binding as a list": (at("binding", []), "bundle.json", "binding: expected object"),
    "a binding without outputs": (at("binding.outputs", ...), "bundle.json", "binding: .*outputs"),
    "a binding without a dtype": (at("binding.inputs.0.dtype", ...), "bundle.json", r"binding\.inputs\[.*\]: .*dtype"),
    "a stack that is a number": (at("binding.inputs.0.stack", 1), "bundle.json", r"binding\.inputs\[.*\]\.stack: "),
    "a field that is null": (at("binding.inputs.0.fields.1", None), "bundle.json", r"binding\.inputs\[.*\]\.fields\["),
    "a negative column": (at("binding.outputs.0.column", -1), "bundle.json", r"binding\.outputs\[.*\]\.column: "),
    "a column with a fraction": (at("binding.outputs.0.column", 0.5), "bundle.json", r"outputs\[.*\]\.column: "),
    "an empty name of an output": (at("binding.outputs.0.model_output", ""), "bundle.json", "model_output: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_manifest_is_refused_with_its_place(values, case, tmp_path):
    """Also one whose seal is right: somebody who knows the format made it."""
    import shutil

    change, path, message = WRONG[case]
    directory = tmp_path / "sum"
    shutil.copytree(values[0], directory)
    changed = copy.deepcopy(values[1])
    change(changed)
    put_manifest(directory, changed)

    with pytest.raises(BundleInvalid, match=message) as caught:
        Bundle.open(directory)

    assert (caught.value.code, caught.value.path) == ("bundle_invalid", path)


SPOILT = {
    "not JSON": lambda raw: b"{",
    "not UTF-8": lambda raw: raw.replace(b"demo", b"d\xffmo"),
    "a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "a list": lambda raw: b"[]",
    "null": lambda raw: b"null",
    "a number": lambda raw: b"1",
    "NaN": lambda raw: sealed(raw.decode().replace('"tolerance": 0.0', '"tolerance": NaN')),
    "too large a number": lambda raw: raw.replace(b'"format": 1', b'"format": ' + b"1" * 5000),
    "a member twice": lambda raw: sealed('{"format": 1, "format": 1}'),
    "nested deeply": lambda raw: b"[" * 100_000,
    "without a seal": lambda raw: json.dumps({k: v for k, v in json.loads(raw).items() if k != "seal"}).encode(),
    "with another seal": lambda raw: raw.replace(json.loads(raw)["seal"].encode(), b"0" * 64),
    "with a seal that is not the last": lambda raw: json.dumps(dict(sorted(json.loads(raw).items()))).encode(),
    "another spelling of the same": lambda raw: json.dumps(json.loads(raw)).encode(),
    "one space more": lambda raw: raw.replace(b'"format": 1', b'"format":  1'),
    "a line more at the end": lambda raw: raw + b"\n",
    "another name": lambda raw: raw.replace(b'"name": "demo"', b'"name": "dame"', 1),
    "empty": lambda raw: b"",
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_manifest_is_refused(values, case, tmp_path):
    """Whatever is not the very file that was packed."""
    directory = tmp_path / "sum"
    directory.mkdir()
    raw = (values[0] / "bundle.json").read_bytes()
    (directory / "bundle.json").write_bytes(SPOILT[case](raw))

    with pytest.raises(BundleInvalid) as caught:
        Bundle.open(directory)

    assert caught.value.path == "bundle.json"


def test_a_member_twice_among_many_is_found_at_once(tmp_path):
    """The file may have four million bytes; its time to refuse grows with them, not with their square."""
    members = ",".join(f'"{number}":1' for number in range(250_000))
    (tmp_path / "bundle.json").write_text("{" + members + ',"249999":1}')
    began = time.process_time()

    with pytest.raises(BundleInvalid, match="the member '249999' twice"):
        Bundle.open(tmp_path)

    assert time.process_time() - began < 5


def test_a_manifest_sealed_by_the_rule_opens(values, tmp_path):
    """The seal is nothing but the digest of what stands before it."""
    import shutil

    directory = tmp_path / "sum"
    shutil.copytree(values[0], directory)
    changed = copy.deepcopy(values[1])
    changed["created_from"] = {"kind": "by hand", "nested": {"list": [1, None, True]}}
    put_manifest(directory, changed)

    assert Bundle.open(directory).manifest.created_from["nested"] == {"list": [1, None, True]}
