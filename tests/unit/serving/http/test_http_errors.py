"""What errors look like on HTTP."""

from __future__ import annotations

import json

from fivefold.core.errors import CODES, ContractError, Unavailable, Violation
from fivefold.serving.http.http_errors import HTTP_STATUS, problem
from fivefold.serving.messages import Call


def test_every_code_has_a_status_and_no_other_has() -> None:
    """The table is total over the product's codes."""
    assert set(HTTP_STATUS) == set(CODES)
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


def test_an_error_is_one_body_with_the_request_id() -> None:
    """Sentence, code, path, help, details and request id are in the body, the id and the trace in headers too."""
    violation = Violation("out_of_range", "inputs.x[0]", "expected at most 1, got 2", "in metres")

    reply = problem(ContractError.of([violation]), Call("http", "r1", traceparent="00-1-2-01"))

    assert reply.status == 422
    assert json.loads(reply.body) == {
        "error": "inputs.x[0]: expected at most 1, got 2",
        "code": "out_of_range",
        "path": "inputs.x[0]",
        "help": "in metres",
        "details": [violation.to_json()],
        "request_id": "r1",
    }
    assert (b"x-request-id", b"r1") in reply.headers
    assert (b"traceparent", b"00-1-2-01") in reply.headers


def test_come_back_later_says_when() -> None:
    """429 and 503 carry Retry-After in whole seconds, at least one."""
    for given, said in ((2.2, b"3"), (0.1, b"1"), (None, b"1")):
        reply = problem(Unavailable("rate_limited", "slowly", retry_after=given), Call("http", "1"))

        assert dict(reply.headers)[b"retry-after"] == said


def test_a_body_that_was_not_read_ends_the_connection() -> None:
    """What is left of a refused body must not be taken for the next request."""
    reply = problem(ContractError("too_large", "too much"), Call("http", "1"))

    assert dict(reply.headers)[b"connection"] == b"close"


def test_a_lone_surrogate_in_a_sentence_still_gives_json() -> None:
    """A sentence may quote what no UTF-8 text can hold."""
    reply = problem(ContractError("malformed", "got \ud800"), Call("http", "1"))

    assert json.loads(reply.body)["error"] == "got \ud800"
