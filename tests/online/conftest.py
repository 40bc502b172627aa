"""The models that mixed traffic asks, made once."""

from __future__ import annotations

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.support import questions


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return questions.bundles(tmp_path_factory.mktemp("served"))
