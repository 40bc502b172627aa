"""Which device a model runs on: with the providers of the CPU build, of which Azure's runs no operator here."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tests.support.bundles import write_python, write_sum

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.errors import BundleInvalid
from fivefold.core.runtime import devices
from fivefold.core.runtime.devices import DeviceSettings
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.settings import SettingsError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_sum(tmp_path / "sum")


@pytest.mark.parametrize(
    ("providers", "model", "expected"),
    [
        ("cpu", "demo", ("cpu",)),
        ("", "demo", ("cpu",)),
        ("CUDA, cpu", "demo", ("cuda", "cpu")),
        ("cuda,cpu;demo=cpu", "demo", ("cpu",)),
        ("cuda,cpu;demo=cpu", "other", ("cuda", "cpu")),
        ("demo = tensorrt,cuda", "demo", ("tensorrt", "cuda")),
        ("demo=cuda", "other", ("cpu",)),
    ],
)
def test_what_is_asked_for(providers: str, model: str, expected: tuple[str, ...]) -> None:
    """For all models, or for one by its name."""
    assert DeviceSettings(providers=providers).of(model) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"providers": "cdua"}, "no provider 'cdua'; it knows .*cuda"),
        ({"providers": "gpu"}, "no provider 'gpu'"),
        ({"providers": "cpu,cuda"}, "nothing behind it is used"),
        ({"providers": "cuda,cuda"}, "once"),
        ({"providers": "cpu;cuda"}, "once"),
        ({"providers": "=cuda"}, "once"),
        ({"providers": "demo="}, "no provider ''"),
        ({"providers": "cuda,"}, "no provider ''"),
        ({"device_tolerance": 1.0}, "device_tolerance"),
        ({"device_tolerance": float("nan")}, "device_tolerance"),
        ({"gpus": 1.5}, "gpus"),
        ({"gpus": -1}, "gpus"),
    ],
)
def test_settings_that_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        DeviceSettings(**given)  # type: ignore[arg-type]


def test_on_the_cpu_nothing_is_said(bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    with Scorer.open(bundle) as scorer:
        assert scorer.device == "cpu"
    assert not caplog.records


def test_a_device_that_is_not_there_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what there is, and both ways on."""
    monkeypatch.setenv("FIVEFOLD_PROVIDERS", "cuda")
    with pytest.raises(
        BundleInvalid, match=r"was to run on cuda, and ONNX Runtime .* was built for azure, cpu"
    ) as error:
        Scorer.open(bundle)

    assert error.value.path == "providers"
    assert "the extra gpu" in (error.value.help or "")
    assert "--providers cuda,cpu" in (error.value.help or "")


@pytest.mark.parametrize("providers", ["cuda,cpu", "azure,cpu", "cuda,azure,cpu"])
def test_what_is_fallen_back_to_is_said(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, providers: str
) -> None:
    """Where it is allowed; a provider that loaded and runs no operator is no device."""
    monkeypatch.setenv("FIVEFOLD_PROVIDERS", providers)
    with caplog.at_level(logging.WARNING), Scorer.open(bundle) as scorer:
        assert scorer.device == "cpu"

    assert [record.getMessage() for record in caplog.records] == [
        f"the model {bundle.name} runs on cpu; asked for was {providers}"
    ]


def test_operators_are_not_left_to_the_cpu_unasked(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime would do that by itself: the provider is there and loads."""
    monkeypatch.setenv("FIVEFOLD_PROVIDERS", "azure")
    with pytest.raises(BundleInvalid, match="operators that azure cannot run, and cpu was not asked for") as error:
        Scorer.open(bundle)

    assert "--providers azure,cpu" in (error.value.help or "")


def test_a_provider_that_does_not_load_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that lacks its driver is among those available, and the session comes without it."""
    here = [*onnxruntime.get_available_providers(), "CUDAExecutionProvider"]
    monkeypatch.setattr(devices.onnxruntime, "get_available_providers", lambda: here)
    monkeypatch.setenv("FIVEFOLD_PROVIDERS", "cuda")
    with pytest.warns(UserWarning, match="not in available"), pytest.raises(BundleInvalid) as error:
        Scorer.open(bundle)

    assert "--providers cuda,cpu" in (error.value.help or "")


@pytest.mark.parametrize(("allowed", "opens"), [("0", False), ("0.001", True)])
def test_another_device_has_a_tolerance_of_its_own(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, allowed: str, opens: bool
) -> None:
    """On the CPU the bundle's holds, whatever is set."""
    settings = DeviceSettings(device_tolerance=float(allowed))
    _, answers = bundle.golden()

    class Runner:
        foreseeable, serial, device = True, False, "cuda"

        def run(self, columns: Columns) -> dict[str, np.ndarray]:
            off = {field.name: np.float32(1.0005 if field.kind == "float" else 1) for field in bundle.contract.outputs}
            return {name: (answers[name][: columns.rows] * by).astype(answers[name].dtype) for name, by in off.items()}

        def close(self) -> None:
            pass

    for device, expected in (("cuda", opens), ("cpu", False)):
        Runner.device = device
        scorer = Scorer(bundle, Runner(), settings.device_tolerance)
        if expected:
            scorer.self_test()
            continue
        with pytest.raises(BundleInvalid) as error:
            scorer.self_test()
        assert ("on cuda" in str(error.value)) == (device == "cuda")
        assert ("FIVEFOLD_DEVICE_TOLERANCE" in (error.value.help or "")) == (device == "cuda")


def test_a_python_model_chooses_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVEFOLD_PROVIDERS", "cuda")
    with Scorer.open(write_python(tmp_path / "own")) as scorer:
        assert scorer.device == "code"
