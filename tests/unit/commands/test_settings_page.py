"""docs/settings.md has every setting that a workload reads, under the variable that it reads."""

from __future__ import annotations

import dataclasses
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fivefold.commands import settings_page
from fivefold.core.settings import SettingsError, read

PACKAGE = Path(settings_page.__file__).parents[1]
CLASSES = {
    (".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts), name)
    for path in PACKAGE.rglob("*.py")
    for name in re.findall(r"^class (\w+Settings|ServingLimits)\b", path.read_text("utf-8"), re.MULTILINE)
}


def test_every_settings_class_is_there() -> None:
    """A class that nobody has listed has no section."""
    assert {(module, name) for _, module, name, _ in settings_page._CLASSES} == CLASSES


@pytest.mark.parametrize(("module", "name"), sorted(CLASSES))
def test_every_field_is_read_from_its_variable(module: str, name: str) -> None:
    """The page names a variable for each field, with the default that an empty environment gives."""
    cls: Any = getattr(import_module(module), name)
    rows = dict(re.findall(r"^\| `FIVEFOLD_(\w+)` \| [^|]+ \| ([^|]+) \|", settings_page.page(), re.MULTILINE))
    for field in dataclasses.fields(cls):
        assert field.name.upper() in rows
        if "bool" not in str(field.type) and "str" not in str(field.type):
            with pytest.raises(SettingsError, match=f"FIVEFOLD_{field.name.upper()}"):
                read(cls, environ={f"FIVEFOLD_{field.name.upper()}": "much"})
