"""The command line, up to the point where load begins."""

from __future__ import annotations

import argparse
import socket
from typing import Any

import pytest
from loadtest.load.__main__ import described, headers, main, parser
from loadtest.load.scenario import ScenarioInvalid


def given(*words: str) -> argparse.Namespace:
    return parser().parse_args(["http://127.0.0.1:1", *words])


def test_without_grpc_the_mix_is_rest() -> None:
    """And with it every transport has its share."""
    assert list(described(given()).shares()) == ["v1", "v2", "binary"]
    assert list(described(given("--grpc", "h:1")).shares()) == ["v1", "v2", "binary", "grpc", "stream"]


def test_options_replace_the_profiles_values() -> None:
    """Those not given stay the profile's."""
    scenario = described(given("--profile", "spike", "--rate", "7", "--mix", "v1=3,v2"))

    assert (scenario.profile, scenario.rate, scenario.seconds) == ("spike", 7, 45)
    assert scenario.shares() == {"v1": 0.75, "v2": 0.25}


@pytest.mark.parametrize("words", [("--mix", "grpc=1"), ("--mix", "v1=x"), ("--rate", "-1")])
def test_a_wrong_option_is_one_sentence(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, with exit status 2."""
    assert main(["http://127.0.0.1:1", *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_headers_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key comes from the option or from the environment."""
    monkeypatch.setenv("KEY", "from-env")

    assert headers(given("--header", "a: b:c")) == {"a": "b:c", "x-api-key": "from-env"}
    assert headers(given("--key", "mine")) == {"x-api-key": "mine"}
    with pytest.raises(ScenarioInvalid, match="NAME: VALUE"):
        headers(given("--header", "nothing"))


def test_nobody_there_is_said_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2, and a line of help."""
    monkeypatch.setattr("loadtest.load.k6.find", lambda: "k6")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        status = main([f"http://127.0.0.1:{taken.getsockname()[1]}"])
    said = capsys.readouterr().err

    assert status == 2
    assert "no answer from http://127.0.0.1:" in said
    assert "help: start one with `make run`" in said


def test_ctrl_c_ends_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """130, as a shell expects."""

    def interrupted(_: Any) -> int:
        raise KeyboardInterrupt

    assert main(["http://127.0.0.1:1"], interrupted) == 130
    assert "nothing was written" in capsys.readouterr().err
