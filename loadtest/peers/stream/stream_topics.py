"""What the programs share: where to read and to write, and the block of features of some records.

It stands in each program's own environment, so it knows numpy alone; `loadtest.stream` reads the names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BROKER, SOURCE, TARGET, GROUP = "PEER_BROKER", "PEER_SOURCE", "PEER_TARGET", "PEER_GROUP"
"""Environment variables: HOST:PORT, the topics, and the consumer group."""

EXACTLY_ONCE = "PEER_EXACTLY_ONCE"
"""Set where a program that can be told so is to work in transactions."""

FEATURES = tuple(f"f{index:02}" for index in range(20))
ANSWER = "score"


def given() -> tuple[str, str, str, str]:
    """The broker, the topic to read, the topic to write, the group."""
    return os.environ[BROKER], os.environ[SOURCE], os.environ[TARGET], os.environ[GROUP]


def block(records: Sequence[Mapping[str, float]]) -> Any:
    """The features of records as float32 of shape [records, 20]."""
    return np.array([[record[name] for name in FEATURES] for record in records], np.float32)
