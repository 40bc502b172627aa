"""On which device ONNX Runtime runs a model: what is asked for, what this machine has, and what it came to.

ONNX Runtime goes back to the CPU by itself where a provider is missing, fails to load or has no kernel for an operator,
and says nothing. Here that is refused, unless the CPU is among the providers that are asked for; then it is said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import onnxruntime

from fivefold.core.bundle.manifest import MODEL
from fivefold.core.errors import BundleInvalid
from fivefold.core.settings import SettingsError

CPU: Final = "cpu"
OWN_CODE: Final = "code"
"""The device of a Python model, which chooses by itself."""

_END: Final = "ExecutionProvider"

_OPTIONS: Final[dict[str, dict[str, str]]] = {
    # 32-bit floats stay such: NVIDIA's TF32 has 10 bits, and answers would leave the golden ones.
    "cuda": {"use_tf32": "0"},
}
"""https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """Where models run. Raises `SettingsError`."""

    providers: str = CPU
    """ONNX Runtime's execution providers, the wanted one first: `cuda`, `tensorrt`, `cpu` and so on. What stands behind
    it may be fallen back to; without `cpu` a model that does not run on the others alone is refused. `;NAME=…` has
    other ones for one model: `cuda,cpu;small=cpu`."""

    device_tolerance: float = 0.0
    """How far golden answers may be off on another device than the CPU, where that is more than the bundle's own
    tolerance; as that, relative above 1."""

    gpus: float = 0.0
    """GPUs that Ray gives each replica and each worker of a run; Ray hides those that were not asked for."""

    def __post_init__(self) -> None:
        if not 0 <= self.device_tolerance < 1:
            raise SettingsError(f"device_tolerance: expected 0 to less than 1, got {self.device_tolerance}")
        if not 0 <= self.gpus <= 64 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise SettingsError(f"gpus: expected a share of one, or a whole number up to 64, got {self.gpus}")
        self._by_model()

    def of(self, model: str) -> tuple[str, ...]:
        """The providers for a model of that name."""
        by_model = self._by_model()
        return by_model.get(model, by_model[""])

    def _by_model(self) -> dict[str, tuple[str, ...]]:
        out: dict[str, tuple[str, ...]] = {"": (CPU,)}
        seen = set[str]()
        for part in filter(None, (each.strip() for each in self.providers.split(";"))):
            name, equals, text = part.rpartition("=")
            name = name.strip()
            names = tuple(each.strip().lower() for each in text.split(","))
            if (equals and not name) or name in seen or len(set(names)) != len(names):
                raise SettingsError(f"providers: expected each model and each provider once, got {self.providers!r}")
            for each in names:
                if each not in known_providers():
                    known = ", ".join(sorted(known_providers()))
                    raise SettingsError(f"providers: ONNX Runtime knows no provider {each!r}; it knows {known}")
            if CPU in names[:-1]:
                raise SettingsError(f"providers: cpu runs everything, so nothing behind it is used: {part!r}")
            seen.add(name)
            out[name] = names
        return out


def known_providers() -> dict[str, str]:
    """Short names of all providers, and ONNX Runtime's own: `cuda` is `CUDAExecutionProvider`."""
    return {name.removesuffix(_END).lower(): name for name in onnxruntime.get_all_providers()}


def open_session(model: bytes, name: str, options: Any, wanted: tuple[str, ...]) -> tuple[Any, str]:
    """A session on the first of the wanted providers that loads, and the device that it came to: `cpu`, `cuda`, or
    `cuda+cpu` where operators are on both.

    Raises `BundleInvalid` where that is none of them, or operators are left to a CPU that was not asked for; whatever
    ONNX Runtime raises for the model itself.
    """
    if wanted == (CPU,):
        return onnxruntime.InferenceSession(model, options, providers=[CPU.upper() + _END]), CPU
    known, here = known_providers(), onnxruntime.get_available_providers()
    usable = [each for each in wanted if known[each] in here]
    if not usable:
        raise _missing(name, wanted, f"ONNX Runtime {onnxruntime.__version__} here was built for {_words(here)}")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if CPU not in wanted:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        # Without its own way of falling back, which opens another session in the middle of a call.
        session = onnxruntime.InferenceSession(
            model, options, providers=[(known[each], _OPTIONS.get(each, {})) for each in usable], enable_fallback=0
        )
    except Exception as err:
        if CPU in wanted or "fallback to CPU EP" not in str(err):
            raise
        raise BundleInvalid(
            f"the model {name!r} has operators that {_words(usable)} cannot run, and cpu was not asked for",
            path=MODEL,
            help=f"let the CPU run them: --providers {','.join([*wanted, CPU])}",
        ) from err
    loaded = session.get_providers()
    if CPU not in wanted and not any(known[each] in loaded for each in usable):
        raise _missing(name, wanted, f"{_words(usable)} did not load")
    return session, _device(session, loaded)


def _device(session: Any, loaded: list[str]) -> str:
    assigned = getattr(session, "get_provider_graph_assignment_info", None)
    counts: Counter[str] = Counter()
    if assigned is not None:
        for each in assigned():
            counts[each.ep_name] += len(each.get_nodes())
    # An older ONNX Runtime does not say which operators are where, and a graph may have none.
    names = [each for each in loaded if counts[each]] if counts else loaded[:1]
    return "+".join(_short(each) for each in names)


def _missing(name: str, wanted: tuple[str, ...], why: str) -> BundleInvalid:
    return BundleInvalid(
        f"the model {name!r} was to run on {', '.join(wanted)}, and {why}",
        path="providers",
        help=f"a GPU needs the extra gpu, its driver, and where Ray starts the process FIVEFOLD_GPUS; "
        f"or allow the CPU: --providers {','.join([*wanted, CPU])}",
    )


def _words(names: list[str]) -> str:
    return ", ".join(_short(each) for each in names)


def _short(name: str) -> str:
    return name.removesuffix(_END).lower()
