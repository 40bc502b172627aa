"""The `.tar` of a bundle: the same bytes from the same bundle, and nothing but whole plain files out of it."""

import copy
import io
import os
import shutil
import tarfile
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.bundles import write_python, write_sum

from fivefold.core.bundle import archive
from fivefold.core.bundle.bundle import Bundle, sign
from fivefold.core.errors import BundleInvalid


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A bundle's directory and its archive, to read only."""
    root = tmp_path_factory.mktemp("archive")
    bundle = write_sum(root / "sum")
    bundle.archive(root / "sum.tar")
    return root / "sum", root / "sum.tar"


def test_an_archive_is_the_same_bundle(packed):
    """Directory and archive open to the same digest and files."""
    directory, tar = packed
    one, two = Bundle.open(directory), Bundle.open(tar)

    assert one.digest == two.digest
    assert {name: one.read(name) for name in one.names()} == {name: two.read(name) for name in two.names()}


def test_an_archive_of_an_archive_is_the_same_bytes(packed, tmp_path):
    """Nothing of the time, the user or the way is in it."""
    Bundle.open(packed[1]).archive(tmp_path / "again.tar")

    assert (tmp_path / "again.tar").read_bytes() == packed[1].read_bytes()


def test_members_are_sorted_and_anonymous(packed):
    """Fixed order, mode, owner and time."""
    with tarfile.open(packed[1]) as tar:
        members = tar.getmembers()

    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(m.mode, m.uid, m.gid, m.uname, m.gname, m.mtime, m.type) for m in members} == {
        (0o644, 0, 0, "", "", 0, tarfile.REGTYPE)
    }


PATHS = st.from_regex(r"[a-z_][a-z_.]{0,40}(/[a-z_]{1,40})?", fullmatch=True)


@settings(max_examples=60)
@given(st.dictionaries(PATHS, st.binary(max_size=1500), max_size=6))
def test_any_files_give_one_archive_that_reads_back(files):
    """Whatever order the files come in."""
    raw = archive.tar_bytes(files)
    source = archive.Tar(raw, "x.tar")

    assert raw == archive.tar_bytes(dict(reversed(files.items())))
    assert {path: source.read(path, size) for path, size in source.sizes().items()} == files
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert {member.name for member in tar} == set(files)


def test_an_archive_made_by_tar_opens_too(packed, tmp_path):
    """Owners, times, directories and a leading ./ are nobody's business."""
    write_python(tmp_path / "python")
    for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        with tarfile.open(tmp_path / "made.tar", "w", format=form) as tar:
            tar.add(tmp_path / "python", arcname=".")

        assert Bundle.open(tmp_path / "made.tar").digest == Bundle.open(tmp_path / "python").digest


def test_a_signed_bundle_keeps_its_signature_in_the_archive(tmp_path, private_pem):
    """And an archive can be signed where it stands."""
    write_sum(tmp_path / "sum").archive(tmp_path / "sum.tar")
    in_place = sign(tmp_path / "sum.tar", private_pem)
    sign(tmp_path / "sum", private_pem).archive(tmp_path / "signed.tar")

    assert in_place.signed
    assert (tmp_path / "sum.tar").read_bytes() == (tmp_path / "signed.tar").read_bytes()


def test_opening_an_archive_leaves_nothing_behind(packed, tmp_path, monkeypatch):
    """Neither beside it nor among the temporary files: it is read in memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    tar = shutil.copy(packed[1], tmp_path / "sum.tar")
    tar.chmod(0o400)

    Bundle.open(tar)

    assert not list((tmp_path / "temporary").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sum.tar", "temporary"]


def test_an_archive_that_cannot_be_written_leaves_nothing(packed, tmp_path):
    """The place is named."""
    with pytest.raises(BundleInvalid, match="cannot write"):
        Bundle.open(packed[0]).archive(tmp_path / "none" / "sum.tar")


@pytest.mark.parametrize("examples", [75, pytest.param(300, marks=pytest.mark.full)])
def test_a_flipped_bit_anywhere_in_the_archive_is_refused(packed, tmp_path, examples):
    """Headers, contents, padding and the end: no byte goes unchecked, and the file is named."""
    whole = packed[1].read_bytes()
    tar = tmp_path / "sum.tar"

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, len(whole) - 1), st.integers(0, 7))
    def flip(offset, bit):
        damaged = bytearray(whole)
        damaged[offset] ^= 1 << bit
        tar.write_bytes(damaged)

        with pytest.raises(BundleInvalid) as caught:
            Bundle.open(tar)

        assert caught.value.path

    flip()


def test_every_flipped_byte_of_the_headers_is_refused(packed):
    """All of them, not a sample: a header decides which bytes are which file."""
    whole = packed[1].read_bytes()
    with tarfile.open(packed[1]) as tar:
        starts = [member.offset for member in tar.getmembers()]

    for start in starts:
        for offset in range(start, start + archive.BLOCK):
            damaged = bytearray(whole)
            damaged[offset] ^= 0x20
            with pytest.raises(BundleInvalid):
                archive.Tar(bytes(damaged), "sum.tar")


def test_the_name_of_a_file_whose_content_was_changed(packed, tmp_path):
    """A flipped byte inside a member names that member."""
    with tarfile.open(packed[1]) as tar:
        places = {member.name: member.offset_data for member in tar.getmembers()}
    for name, offset in places.items():
        damaged = bytearray(packed[1].read_bytes())
        damaged[offset] ^= 1
        (tmp_path / "sum.tar").write_bytes(damaged)

        with pytest.raises(BundleInvalid) as caught:
            Bundle.open(tmp_path / "sum.tar")

        assert caught.value.path == name


def member(name, data=b"", kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.size, info.type = len(data), kind
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def with_members(*extra, format=tarfile.USTAR_FORMAT, without=()):
    def build(files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=format) as tar:
            for name, data in files.items():
                if name not in without:
                    tar.addfile(member(name, data)[0], io.BytesIO(data))
            for info, data in extra:
                tar.addfile(copy.copy(info), io.BytesIO(data))
        return out.getvalue()

    return build


def plain(files):
    return archive.tar_bytes(files)


def mended(header_change):
    """Change the first header and put its checksum right again."""

    def build(files):
        raw = bytearray(archive.tar_bytes(files))
        header_change(raw)
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw[:512])
        return bytes(raw)

    return build


def put(start, value):
    def change(raw):
        raw[start : start + len(value)] = value

    return change


HOSTILE = {
    "a file twice": (with_members(member("model.onnx", b"other")), "model.onnx", "twice"),
    "the manifest twice": (with_members(member("bundle.json", b"{}")), "bundle.json", "twice"),
    "a file under two spellings": (with_members(member("./model.onnx", b"x")), "model.onnx", "twice"),
    "a symbolic link": (with_members(member("x", kind=tarfile.SYMTYPE, linkname="/etc/passwd")), "x", "symbolic link"),
    "a model that is a link": (
        with_members(member("model.onnx", kind=tarfile.SYMTYPE, linkname="m"), without=("model.onnx",)),
        "model.onnx",
        "symbolic link",
    ),
    "a hard link": (with_members(member("x", kind=tarfile.LNKTYPE, linkname="model.onnx")), "x", "hard link"),
    "a character device": (with_members(member("x", kind=tarfile.CHRTYPE)), "x", "character device"),
    "a block device": (with_members(member("x", kind=tarfile.BLKTYPE)), "x", "block device"),
    "a named pipe": (with_members(member("x", kind=tarfile.FIFOTYPE)), "x", "named pipe"),
    "a contiguous file": (with_members(member("x", kind=tarfile.CONTTYPE)), "x", "member of type"),
    "a path upwards": (with_members(member("../x", b"x")), "../x", "not listed"),
    "a path upwards from within": (with_members(member("model/../../x", b"x")), "model/../../x", "not listed"),
    "an absolute path": (with_members(member("/etc/passwd", b"x")), "/etc/passwd", "not listed"),
    "an empty name": (with_members(member("", b"x")), "", "not listed"),
    "a stranger": (with_members(member("README", b"x")), "README", "not listed"),
    "an empty directory": (with_members(member("model/", kind=tarfile.DIRTYPE)), "model", "empty directory"),
    "a directory upwards": (with_members(member("..", kind=tarfile.DIRTYPE)), "..", "empty directory"),
    "a directory with content": (
        mended(put(156, b"5")),
        "bundle.json",
        "a directory with content",
    ),
    "a long name": (
        with_members(member("x" * 150, b"x"), format=tarfile.GNU_FORMAT),
        "././@LongLink".removeprefix("./"),
        "a long name",
    ),
    "an extended header": (
        with_members(member("x", b"x", pax_headers={"path": "model.onnx"}), format=tarfile.PAX_FORMAT),
        "./@PaxHeader",
        "extended header",
    ),
    "a name in two parts": (with_members(member("a" * 90 + "/" + "b" * 90, b"x")), "b" * 90, "at most 100 bytes"),
    "no manifest": (with_members(without=("bundle.json",)), "bundle.json", "no such file"),
    "no model": (with_members(without=("model.onnx",)), "model.onnx", "no such file"),
    "nothing": (
        with_members(without=("bundle.json", "contract.json", "golden.jsonl", "model.onnx")),
        "bundle.json",
        "",
    ),
    "an empty file": (lambda files: b"", "sum.tar", "ends too early"),
    "text": (lambda files: b"hello", "sum.tar", "ends too early"),
    "noise": (lambda files: bytes(range(256)) * 40, "sum.tar|\\\\x00", "damaged"),
    "a gzip": (lambda files: __import__("gzip").compress(os.urandom(4096)), "sum.tar", "compressed"),
    "a bzip2": (lambda files: __import__("bz2").compress(os.urandom(4096)), "sum.tar", "compressed"),
    "an xz": (lambda files: __import__("lzma").compress(os.urandom(4096)), "sum.tar", "compressed"),
    "cut inside a header": (lambda files: plain(files)[:700], "bundle.json|sum.tar", "ends"),
    "cut inside a file": (lambda files: plain(files)[:1024], "bundle.json", "ends inside"),
    "cut before the end": (
        lambda files: plain(files).rstrip(b"\0") + b"\0" * 40,
        "golden.jsonl|model.onnx|sum.tar",
        "",
    ),
    "one zero block at the end": (lambda files: with_end(files, 512), "sum.tar", "zero blocks"),
    "an end that is no block": (lambda files: with_end(files, 1025), "sum.tar", "zero blocks"),
    "a second archive behind": (lambda files: plain(files) * 2, "sum.tar", "zero blocks"),
    "bytes behind the end": (lambda files: plain(files)[:-1] + b"x", "sum.tar", "zero blocks"),
    "a checksum of another form": (
        lambda files: (lambda raw: raw[:148] + b" " + raw[149:])(plain(files)),
        "bundle.json",
        "damaged",
    ),
    "an old header": (mended(put(257, bytes(8))), "bundle.json", "plain ustar"),
    "a prefix": (mended(put(345, b"up")), "bundle.json", "plain ustar"),
    "a negative size": (mended(put(124, b"-0000000001\0")), "bundle.json", "not a number"),
    "a size in base 256": (mended(put(124, b"\x80" + bytes(10) + b"\x05")), "bundle.json", "not a number"),
    "a size without digits": (mended(put(124, b" " * 12)), "bundle.json", "not a number"),
    "a size beyond the end": (mended(put(124, b"77777777777\0")), "bundle.json", "ends inside"),
    "a smaller size": (mended(put(124, b"00000000100\0")), "bundle.json", "padding"),
    "a sparse file": (mended(put(156, b"S")), "bundle.json", "sparse"),
    "too many files": (
        lambda files: archive.tar_bytes({f"f{i:04}": b"" for i in range(4200)}),
        "f4098",
        "more than 4096",
    ),
}


def with_end(files, zeros):
    raw = plain(files)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        last = tar.getmembers()[-1]
    return raw[: last.offset_data + -(-last.size // 512) * 512] + bytes(zeros)


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_with_the_name_of_the_file(packed, tmp_path, case):
    """Links, devices, paths that lead out, doubles, tricks with headers and everything that is not a tar."""
    build, path, message = HOSTILE[case]
    files = {name: Bundle.open(packed[0]).read(name) for name in Bundle.open(packed[0]).names()}
    (tmp_path / "sum.tar").write_bytes(build(files))

    with pytest.raises(BundleInvalid) as caught:
        Bundle.open(tmp_path / "sum.tar")

    assert caught.value.code == "bundle_invalid"
    assert caught.value.path in path.split("|")
    assert message in caught.value.message


def test_an_archive_larger_than_allowed_is_not_read(packed, tmp_path):
    """A sparse file of a terabyte costs nothing."""
    tar = tmp_path / "huge.tar"
    tar.touch()
    os.truncate(tar, 1 << 40)

    with pytest.raises(BundleInvalid, match="larger than") as caught:
        Bundle.open(tar, max_bytes=1 << 20)

    assert caught.value.path == "huge.tar"


def test_a_directory_swapped_for_a_link_is_not_followed(tmp_path):
    """Between listing and reading nobody can lead the reader out of the bundle."""
    write_python(tmp_path / "b")
    source = archive.source(tmp_path / "b", 1 << 20)
    (tmp_path / "b" / "model").rename(tmp_path / "elsewhere")
    (tmp_path / "b" / "model").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BundleInvalid, match="cannot read") as caught:
        source.read("model/adder.py", 1 << 20)

    assert caught.value.path == "model/adder.py"


def test_a_file_that_grew_is_not_read_to_its_end(tmp_path):
    """Only as many bytes as the manifest promises, and one to notice more."""
    write_sum(tmp_path / "b")
    source = archive.source(tmp_path / "b", 1 << 20)
    (tmp_path / "b" / "model.onnx").write_bytes(bytes(1 << 20))

    with pytest.raises(BundleInvalid, match="at most 100 bytes"):
        source.read("model.onnx", 100)


def test_a_file_that_vanished_is_named(tmp_path):
    """An error of the disk while reading names the file."""
    write_sum(tmp_path / "b")
    source = archive.source(tmp_path / "b", 1 << 20)
    (tmp_path / "b" / "model.onnx").unlink()

    with pytest.raises(BundleInvalid, match="cannot read") as caught:
        source.read("model.onnx", 100)

    assert caught.value.path == "model.onnx"
