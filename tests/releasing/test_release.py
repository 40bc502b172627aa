"""A release goes into a real registry, once: what comes out is what went in, and who changed a byte is found out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from releasing.building import chart_content
from releasing.publishing import RELEASE, ReleasePlan, _image, check, publish
from releasing.refusal import ReleaseRefused, run
from releasing.registry import Registry
from releasing.release_record import RECORD, SIGNATURE, Artefact, ReleaseRecord, digest_of

from fivefold.cli import main as fivefold
from tests.chart.rendering import CHART, KUBERNETES, ROOT
from tests.support.registry_server import blob, registry

pytestmark = pytest.mark.full


@dataclass(frozen=True)
class Released:
    """A registry with a signed release of this tree, without images."""

    home: Path
    plan: ReleasePlan
    record: ReleaseRecord
    public: Path


@pytest.fixture(scope="module", autouse=True)
def _programs() -> Iterator[None]:
    """Those that make has built, where the machine has none of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{os.environ['PATH']}:{ROOT / '.cache' / 'bin'}")
        yield


def tree(target: Path) -> Path:
    """A copy of what a release is made of."""
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "services/fivefold", "helm", "requirements", "k8s"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for name in [*tracked, "pyproject.toml", "README.md", "LICENSE"]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    (target / ".cache" / "envs").mkdir(parents=True)
    (target / ".cache" / "envs" / "sbom").symlink_to(ROOT / ".cache" / "envs" / "sbom")
    return target


def said(words: list[str]) -> str:
    return "\n".join(words)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    home = tmp_path_factory.mktemp("registry")
    keys = tmp_path_factory.mktemp("keys")
    assert fivefold(["bundle", "keygen", str(keys / "release.pem")]) == 0
    with registry(home) as address:
        root = tree(tmp_path_factory.mktemp("tree"))
        plan = ReleasePlan(root, root / "dist", Registry(f"{address}/fivefold"), "0.1.0", (), keys / "release.pem")
        record = publish(plan, lambda _: None)
        yield Released(home, plan, record, keys / "release.pub.pem")


def test_what_comes_out_is_what_went_in(released: Released, tmp_path: Path) -> None:
    """By the record's digests: the wheel and its list as files, the chart as helm pulls it; and who signed it."""
    record, signer = check(released.plan.registry, "0.1.0", tmp_path, released.public)

    assert record == released.record
    assert {(each.kind, each.name) for each in record.artefacts} == {
        ("wheel", "fivefold-0.1.0-py3-none-any.whl"),
        ("sbom", "fivefold-0.1.0.cdx.json"),
        ("chart", "fivefold"),
    }
    assert all(each.size > 1000 for each in record.artefacts)
    assert len(signer) == 64
    for each in record.files():
        assert (digest_of(tmp_path / each.name), (tmp_path / each.name).stat().st_size) == (each.digest, each.size)


def test_openssl_takes_the_signature_and_no_other_bytes(released: Released) -> None:
    """As the documentation has it, by those who have nothing of ours."""
    dist = released.plan.output
    words = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", released.public]
    run([*words, "-sigfile", dist / SIGNATURE, "-in", dist / RECORD])
    changed = dist / "changed.json"
    changed.write_bytes((dist / RECORD).read_bytes().replace(b'"version": "0.1.0"', b'"version": "0.1.1"'))

    with pytest.raises(ReleaseRefused):
        run([*words, "-sigfile", dist / SIGNATURE, "-in", changed])


def test_a_chart_out_of_the_registry_renders_as_the_trees(released: Released, tmp_path: Path) -> None:
    """Pulled by helm by its version, and the one that the record's digest stands for."""
    (chart,) = [each for each in released.record.artefacts if each.kind == "chart"]
    url = f"oci://{released.plan.registry.prefix}/charts/fivefold"
    run(["helm", "pull", url, "--version", "0.1.0", "--plain-http", "--destination", tmp_path])
    found = released.plan.registry.required(released.plan.registry.reference(chart.reference))
    released.plan.registry.pull_chart(found, tmp_path / "by-digest.tgz")
    packages = [tmp_path / "fivefold-0.1.0.tgz", tmp_path / "by-digest.tgz"]
    words = ["-f", CHART / "ci" / "batch.yaml", "--kube-version", KUBERNETES]

    assert found.digest == chart.digest
    assert {digest_of(each) for each in packages} == {digest_of(packages[0])}
    assert {chart_content(each) for each in packages} == {chart.content}
    assert run(["helm", "template", "a", packages[0], *words]) == run(["helm", "template", "a", CHART, *words])


def test_a_second_time_changes_nothing(released: Released) -> None:
    """The same files at another time: the registry keeps its digest, and the record is the one that is there."""
    lines: list[str] = []
    reference = released.plan.registry.reference(f"{RELEASE}:0.1.0")
    before = released.plan.registry.required(reference).digest
    (released.plan.output / RECORD).unlink()

    assert publish(released.plan, lines.append) == released.record
    assert "nothing has been changed" in said(lines)
    assert released.plan.registry.required(reference).digest == before
    assert ReleaseRecord.from_bytes((released.plan.output / RECORD).read_bytes()) == released.record


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("helm/fivefold/values.yaml", ["chart fivefold"]),
        ("services/fivefold/cli.py", ["wheel fivefold-0.1.0-py3-none-any.whl"]),
        ("requirements/run.txt", ["sbom fivefold-0.1.0.cdx.json"]),
    ],
)
def test_the_same_version_with_other_content_is_refused(
    released: Released, tmp_path: Path, file: str, names: list[str]
) -> None:
    """By the name of each thing that differs; the registry is left as it was."""
    root = tree(tmp_path)
    path = root / file
    path.write_text(path.read_text() + ("left-pad==1.0.0\n" if path.suffix == ".txt" else "# another\n"))
    reference = released.plan.registry.reference(f"{RELEASE}:0.1.0")
    before = released.plan.registry.required(reference).digest

    with pytest.raises(ReleaseRefused, match=r"0\.1\.0 is released already, with other content") as refusal:
        publish(replace(released.plan, root=root, output=root / "dist"), lambda _: None)

    assert [line.partition(":")[0] for line in str(refusal.value).splitlines()[1:]] == names
    assert released.plan.registry.required(reference).digest == before


def test_an_interrupted_release_goes_on(released: Released, tmp_path: Path) -> None:
    """The chart is there, the record is not; a chart with other content is refused instead."""
    plan = replace(released.plan, registry=Registry(f"{released.plan.registry.prefix}/again"), output=tmp_path / "one")

    def stop(line: str) -> None:
        if line.startswith("signed by"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(plan, stop)
    assert plan.registry.manifest(plan.registry.reference(f"{RELEASE}:0.1.0")) is None

    other = tree(tmp_path / "other")
    values = other / "helm" / "fivefold" / "values.yaml"
    values.write_text(values.read_text() + "# another\n")
    with pytest.raises(ReleaseRefused, match="is there already, and is another chart"):
        publish(replace(plan, root=other, output=other / "dist"), lambda _: None)
    assert {each.kind for each in publish(plan, lambda _: None).artefacts} == {"wheel", "sbom", "chart"}


def test_a_key_that_did_not_sign_is_refused(released: Released, tmp_path: Path) -> None:
    """By who checks, and by who releases the same once more with another key."""
    assert fivefold(["bundle", "keygen", str(tmp_path / "other.pem")]) == 0

    with pytest.raises(ReleaseRefused, match="is not by this key"):
        check(released.plan.registry, "0.1.0", tmp_path / "there", tmp_path / "other.pub.pem")
    with pytest.raises(ReleaseRefused, match="signed by another key"):
        publish(replace(released.plan, key=tmp_path / "other.pem"), lambda _: None)


def test_an_unsigned_release_is_one_only_for_who_asks_for_no_key(released: Released, tmp_path: Path) -> None:
    plan = replace(released.plan, registry=Registry(f"{released.plan.registry.prefix}/open"), key=None)
    lines: list[str] = []
    publish(replace(plan, output=tmp_path / "dist"), lines.append)

    assert "not signed" in said(lines)
    assert check(plan.registry, "0.1.0", tmp_path / "there", None)[1] == ""
    with pytest.raises(ReleaseRefused, match="the release is not signed"):
        check(plan.registry, "0.1.0", tmp_path / "there", released.public)
    with pytest.raises(ReleaseRefused, match="signed by nobody"):
        publish(replace(plan, key=released.plan.key), lambda _: None)


@pytest.mark.parametrize("kind", ["wheel", "chart"])
def test_a_byte_that_changed_in_the_registry_is_found(released: Released, tmp_path: Path, kind: str) -> None:
    """Of a file, when it is pulled; of a chart's manifest, by the record that was signed."""
    (artefact,) = [each for each in released.record.artefacts if each.kind == kind]
    path = blob(released.home, artefact.digest)
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
    try:
        with pytest.raises(ReleaseRefused):
            check(released.plan.registry, "0.1.0", tmp_path, released.public)
    finally:
        path.write_bytes(whole)

    check(released.plan.registry, "0.1.0", tmp_path, released.public)


def test_a_chart_that_was_pushed_over_is_found(released: Released, tmp_path: Path) -> None:
    """A tag moves in most registries: the record's digest does not."""
    plan = replace(released.plan, registry=Registry(f"{released.plan.registry.prefix}/moved"), output=tmp_path / "dist")
    publish(plan, lambda _: None)
    run(["helm", "package", CHART, "--destination", tmp_path])
    plan.registry.push_chart(tmp_path / "fivefold-0.1.0.tgz")

    with pytest.raises(ReleaseRefused, match=r"charts/fivefold:0\.1\.0: expected sha256:"):
        check(plan.registry, "0.1.0", tmp_path / "there", released.public)


def test_an_image_that_is_there_is_kept_or_refused(released: Released, tmp_path: Path) -> None:
    """By its configuration, which is what Docker names it by: the same one is not pushed again, another never."""
    (tmp_path / "config.json").write_text('{"architecture": "amd64", "os": "linux"}')
    (tmp_path / "layer").write_text("a layer")
    reference = released.plan.registry.reference("hub:0.1.0")
    kind = "application/vnd.oci.image.config.v1+json"
    run(["oras", "push", "--plain-http", "--config", f"config.json:{kind}", reference, "layer"], cwd=tmp_path)
    content = digest_of(tmp_path / "config.json")

    kept = _image(released.plan, "hub", content, lambda _: None)

    assert kept == Artefact(
        "image", "hub", released.plan.registry.required(reference).digest, kept.size, content, "hub:0.1.0"
    )
    assert kept.size > len("a layer")
    with pytest.raises(ReleaseRefused, match="is not the image that was built"):
        _image(released.plan, "hub", f"sha256:{'0' * 64}", lambda _: None)


def test_a_registry_that_does_not_answer_is_not_one_without_a_release() -> None:
    with pytest.raises(ReleaseRefused, match="does not say whether it has"):
        Registry("localhost:1/fivefold").manifest("localhost:1/fivefold/release:0.1.0")
