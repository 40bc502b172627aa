"""Optional libraries, imported when a model needs them, and the sentence for when they are absent."""

from __future__ import annotations

import importlib
from typing import Any

from fivefold.core.errors import BundleInvalid

_EXTRAS = {
    "cloudpickle": "pack",
    "joblib": "pack",
    "onnx": "pack",
    "onnxmltools": "pack",
    "pandas": "pack",
    "pyarrow": "pack",
    "sklearn": "pack",
    "skl2onnx": "pack",
    "yaml": "pack",
    "lightgbm": "boost",
    "xgboost": "boost",
    "torch": "torch",
    "onnxscript": "torch",
}


def require(module: str) -> Any:
    """Import a module of an optional library; `BundleInvalid` names the extra to install where it is absent."""
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as err:
        if (err.name or library).partition(".")[0] not in _EXTRAS:
            raise
        missing = (err.name or library).partition(".")[0]
        raise BundleInvalid(
            f"this needs {missing}, which is not installed", help=f"pip install 'fivefold[{_EXTRAS[missing]}]'"
        ) from err


def versions(*libraries: str) -> dict[str, str]:
    """The versions of the libraries, for the bundle's `created_from`."""
    from importlib import metadata

    return {library: metadata.version(library) for library in libraries}
