"""What the tests of the gateway share, and what they need of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import mosquitto
from tests.support.bundles import write_sum

collect_ignore = [] if mosquitto.PROGRAM else ["test_mqtt_intake.py"]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sum of two numbers, as a bundle."""
    directory = tmp_path_factory.mktemp("sum") / "sum"
    write_sum(directory)
    return directory
