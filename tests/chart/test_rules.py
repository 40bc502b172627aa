"""The alerts, by Prometheus' own unit tests: series go in, alerts come out at the minute they should."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import Release
from tests.support import programs

HERE = 'namespace="scores",job="scores/fivefold",pattern="online",model="demo",version="1",transport="http"'


def checked(directory: Path, series: dict[str, str], expected: dict[str, list[tuple[str, list[str]]]]) -> None:
    """Run promtool: `series` by minute; `expected` has alerts with the windows that fire, by the time asked for."""
    rules = directory / "rules.yaml"
    spec = yaml.safe_load(yaml.safe_dump(Release("default").one("PrometheusRule")["spec"]))
    for group in spec["groups"]:
        for rule in group["rules"]:
            # Only which alerts fire is compared: their words are read by people.
            rule.pop("annotations", None)
    rules.write_text(yaml.safe_dump(spec))
    asked = [
        {
            "eval_time": time,
            "alertname": name,
            "exp_alerts": [{"exp_labels": _labels(name, window)} for window in windows],
        }
        for time, alerts in expected.items()
        for name, windows in alerts
    ]
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": asked}
    document: dict[str, Any] = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}
    (directory / "test.yaml").write_text(yaml.safe_dump(document))
    program = programs.needed("promtool", "the alerts' unit tests")
    assert program is not None

    done = subprocess.run(
        [program, "test", "rules", str(directory / "test.yaml")], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _labels(name: str, window: str) -> dict[str, str]:
    if name == "FivefoldHasNoReplica":
        return {"severity": "critical", "namespace": "scores", "job": "scores/fivefold"}
    severity = "warning" if window == "3d" else "critical"
    return {"severity": severity, "window": window, "namespace": "scores", "model": "demo"}


def requests(ok: str, failed: str) -> dict[str, str]:
    """Counters of requests that were answered and of those that failed."""
    return {
        f'ray_fivefold_requests_total{{{HERE},code="ok"}}': ok,
        f'ray_fivefold_requests_total{{{HERE},code="internal"}}': failed,
    }


def test_a_healthy_service_is_silent(tmp_path: Path) -> None:
    """One failure in ten thousand is within an objective of 99.9 %, for hours."""
    series = requests("0+9999x480", "0+1x480")

    checked(tmp_path, series, {"8h": [("FivefoldFails", [])]})


def test_an_outage_wakes_somebody_within_minutes_and_ends_when_it_ends(tmp_path: Path) -> None:
    """Half of the requests fail for twenty minutes: the fast pair fires; soon after, a ticket is left."""
    series = requests("0+1000x120 120500+500x20 130500+1000x60", "0+0x120 0+500x20 10000+0x60")

    checked(tmp_path, series, {"2h10m": [("FivefoldFails", ["1h"])], "3h10m": [("FivefoldFails", ["3d"])]})


def test_a_steady_trickle_is_a_matter_for_the_day(tmp_path: Path) -> None:
    """0.3 % of failures for days burns three times the budget: a warning, and nobody is woken."""
    series = requests("0+997x4500", "0+3x4500")

    checked(tmp_path, series, {"3d1h": [("FivefoldFails", ["3d"])]})


def test_the_callers_own_mistakes_are_not_ours(tmp_path: Path) -> None:
    """A client that sends nothing but bad values does not spend our budget."""
    series = {
        f'ray_fivefold_requests_total{{{HERE},code="ok"}}': "0+100x120",
        f'ray_fivefold_requests_total{{{HERE},code="out_of_range"}}': "0+900x120",
    }

    checked(tmp_path, series, {"2h": [("FivefoldFails", [])]})


@pytest.mark.parametrize(("within", "windows"), [("0+995x120", []), ("0+500x120", ["1h", "6h"])])
def test_slow_answers_burn_a_budget_of_their_own(tmp_path: Path, within: str, windows: list[str]) -> None:
    """Half of a second's requests beyond the bound fire; one in two hundred is within 99 %."""
    series = {
        f'ray_fivefold_request_seconds_bucket_total{{{HERE},le="0.1"}}': within,
        f'ray_fivefold_request_seconds_bucket_total{{{HERE},le="+Inf"}}': "0+1000x120",
    }

    checked(tmp_path, series, {"30m": [("FivefoldIsSlow", windows)]})


def test_a_service_without_replicas_is_noticed(tmp_path: Path) -> None:
    """Nothing that counts failures counts them where nothing runs."""
    series = {f'ray_fivefold_bundle_info{{{HERE},bundle="a"}}': "1x10 stale"}

    checked(tmp_path, series, {"9m": [("FivefoldHasNoReplica", [])], "20m": [("FivefoldHasNoReplica", [""])]})
