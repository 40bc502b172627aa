"""What the load on a cluster makes of its asks: a generator that overlooked a failure would prove anything."""

from __future__ import annotations

import numpy as np
import pytest
from tests.e2e.load import Ask, Course, Question, Wrong

from fivefold.serving.grpc.proto import inference_pb2 as wire


def _asks() -> list[Ask]:
    return [
        Ask("http", 0, 10.0, 10.1, "old"),
        Ask("grpc", 1, 10.0, 10.2, "old"),
        Ask("http", 0, 11.0, 14.0, "", "503 not_ready"),
        Ask("grpc", 1, 12.0, 12.5, "new"),
        Ask("http", 0, 15.0, 15.5, "new"),
        Ask("stream", 2, 11.0, 11.1, "", "UNAVAILABLE: gone"),
    ]


def test_failures_are_told_by_wire_and_time() -> None:
    """Unary calls alone unless asked otherwise, with the seconds since the beginning."""
    course = Course(_asks(), 10.0, 16.0)

    assert course.failures() == ["4.0 s http: 503 not_ready"]
    assert course.failures(("stream",)) == ["1.1 s stream: UNAVAILABLE: gone"]
    assert course.failed == 2
    assert course.of("grpc").failed == 0


def test_gaps_reach_from_the_beginning_to_the_end() -> None:
    """A failure closes no gap; a caller that never had a right answer has waited all the time."""
    course = Course(_asks(), 10.0, 16.0)

    assert course.gap == pytest.approx(3.0)
    assert course.of("http", "grpc").caller_gap == pytest.approx(5.4)
    assert course.caller_gap == pytest.approx(6.0)
    assert course.bundles(last=4.5) == {"new"}


def test_an_answer_is_judged_by_its_values() -> None:
    """Another label, another number, another count of rows: each is wrong."""
    question = Question({}, wire.ModelInferRequest(), ["benign"], np.array([[0.75, 0.25]]), 1e-5)
    question.judge(["benign"], [[0.750001, 0.249999]])

    for labels, probabilities in (
        (["malignant"], [[0.75, 0.25]]),
        (["benign"], [[0.7501, 0.2499]]),
        (["benign", "benign"], [[0.75, 0.25], [0.75, 0.25]]),
        ([], []),
        (["benign"], [[float("nan"), 0.25]]),
    ):
        with pytest.raises(Wrong):
            question.judge(labels, probabilities)
