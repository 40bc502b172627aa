"""What a laptop lacks: each bad line with the way to get it, and an exit status that says whether one fails."""

from __future__ import annotations

import json
import socket
import sys
from importlib import metadata
from pathlib import Path

import pytest

from fivefold.cli import main
from fivefold.doctor import laptop_checks, machine_checks
from fivefold.doctor.finding import Finding


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_this_machine_is_fit_for_what_its_tests_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Packages with their versions; Ray is imported, and not only looked for."""
    status = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    found = {one["name"]: one for one in report["laptop"]}

    assert report["ok"] is (status == 0)
    assert set(report) == {"ok", "laptop"}
    assert {found[name]["verdict"] for name in ("python", "packages", "packing", "serving", "scoring", "ray")} == {"ok"}
    assert f"skl2onnx {metadata.version('skl2onnx')}" in found["packing"]["says"]
    assert f"ray {metadata.version('ray')}" in found["serving"]["says"]
    assert all(one["help"] for one in report["laptop"] if one["verdict"] != "ok")


def test_a_package_that_is_absent_or_old_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fivefold's own metadata asks for is what is looked at."""
    lines = ["numpy>=2.0", 'nothing-of-that-name>=1; extra == "pack"', 'onnx>=999; extra == "pack"']
    monkeypatch.setattr(laptop_checks.metadata, "requires", lambda _name: lines)
    found = by_name(list(laptop_checks._packages()))

    assert found["packages"].says == f"numpy {metadata.version('numpy')}"
    packing = found["packing"]
    assert packing.verdict == "missing"
    assert packing.help == "pip install 'fivefold[pack]'"
    assert "nothing-of-that-name is not installed" in packing.says
    assert f"onnx {metadata.version('onnx')} is older than 999" in packing.says


def test_a_ray_that_cannot_be_imported_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever is installed: the exception is shown."""
    (tmp_path / "ray.py").write_text("raise ImportError('no libstdc++')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = laptop_checks._ray()

    assert (found.verdict, found.help) == ("missing", "pip install 'fivefold[online]'")
    assert "no libstdc++" in found.says


def test_a_port_that_is_taken_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one will do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(laptop_checks, "PORTS", {port: ("REST", "--http")})
        found = laptop_checks._port(port)
    assert (found.verdict, found.says) == ("warn", "is taken")
    assert "--http 127.0.0.1:0" in found.help
    assert laptop_checks._port(port).verdict == "ok"


def test_room_and_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Little memory is missing, little more a warning; a program that is absent or old is one too."""
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1500000 kB\n")
    assert laptop_checks._memory(tmp_path / "meminfo").verdict == "warn"
    (tmp_path / "meminfo").write_text("MemAvailable: 1000 kB\n")
    assert laptop_checks._memory(tmp_path / "meminfo").verdict == "missing"
    assert laptop_checks._memory(tmp_path / "none").verdict == "ok"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert (laptop_checks._node().verdict, laptop_checks._browser().verdict) == ("warn", "warn")
    (tmp_path / "node").write_text("#!/bin/sh\necho v16.1.0\n")
    (tmp_path / "node").chmod(0o755)
    assert laptop_checks._node().verdict == "warn"
    (tmp_path / "node").write_text("#!/bin/sh\necho v20.1.0\n")
    assert laptop_checks._node().verdict == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    assert laptop_checks._python().verdict == "missing"


def test_what_is_missing_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warning is none."""
    for verdict, status in (("warn", 0), ("missing", 1)):
        finding = Finding("x", verdict, "says", "need", "help me")  # type: ignore[arg-type]  # both are verdicts
        monkeypatch.setattr(laptop_checks, "examine", lambda finding=finding: [finding])
        assert main(["doctor"]) == status
        assert "help: help me" in capsys.readouterr().out
    assert machine_checks.is_free(0)
