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

WORKER = 'namespace="scores",job="scores/fivefold-stream",pod="fivefold-stream-0"'
STREAMS = {
    "FivefoldStreamIsBehind": {"severity": "warning", "namespace": "scores", "topic": "patients"},
    "FivefoldStreamStandsStill": {"severity": "critical", "namespace": "scores", "topic": "patients"},
    "FivefoldStreamHasDeadLetters": {"severity": "warning", "namespace": "scores", "model": "demo"},
    "FivefoldStreamHasNoWorker": {"severity": "critical", "namespace": "scores", "job": "scores/fivefold-stream"},
}
"""The labels of the stream's alerts."""

HUB = 'namespace="scores",job="scores/fivefold-hub",pod="fivefold-hub-0"'
HUBS = {
    "FivefoldHubHasNoPod": {"severity": "critical", "namespace": "scores", "job": "scores/fivefold-hub"},
    "FivefoldHubStoreFails": {"severity": "critical", "namespace": "scores"},
    "FivefoldHubDiskIsNearlyFull": {"severity": "warning", "namespace": "scores"},
    "FivefoldHubForwardsNothing": {"severity": "critical", "namespace": "scores"},
    "FivefoldHubDevicesAreSilent": {"severity": "warning", "namespace": "scores"},
    "FivefoldHubBacklogGrows": {"severity": "warning", "namespace": "scores", "lane": "bulk"},
    "FivefoldHubReleaseGoesBack": {"severity": "warning", "namespace": "scores", "model": "demo", "release": "2"},
    "FivefoldHubOutboxIsCopied": {"severity": "warning", "namespace": "scores"},
}
"""The labels of the hub's alerts."""


def checked(
    directory: Path,
    series: dict[str, str],
    expected: dict[str, list[tuple[str, list[str]]]],
    *,
    scenario: str = "default",
    name: str = "fivefold",
) -> None:
    """Run promtool: `series` by minute; `expected` has alerts with the windows that fire, by the time asked for."""
    rules = directory / "rules.yaml"
    spec = yaml.safe_load(yaml.safe_dump(Release(scenario).one("PrometheusRule", name)["spec"]))
    for group in spec["groups"]:
        for rule in group["rules"]:
            # Only which alerts fire is compared: their words are read by people.
            rule.pop("annotations", None)
    rules.write_text(yaml.safe_dump(spec))
    asked = [
        {
            "eval_time": time,
            "alertname": alert,
            "exp_alerts": [{"exp_labels": _labels(alert, window)} for window in windows],
        }
        for time, alerts in expected.items()
        for alert, windows in alerts
    ]
    given = [{"series": each, "values": values} for each, values in series.items()]
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
    if name in STREAMS | HUBS:
        return (STREAMS | HUBS)[name]
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


@pytest.mark.full
@pytest.mark.rare
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


def worked(scored: str, dead: str, lag: str) -> dict[str, str]:
    """A worker's events by what became of them, and how many of one partition wait."""
    events = f'fivefold_stream_events_total{{{WORKER},model="demo",version="1"'
    return {
        f'{events},outcome="scored"}}': scored,
        f'{events},outcome="dead_letter"}}': dead,
        f'fivefold_stream_lag{{{WORKER},topic="patients",partition="0"}}': lag,
        f'fivefold_bundle_info{{{WORKER},pattern="stream",bundle="a"}}': "1x200",
    }


def fires(directory: Path, series: dict[str, str], time: str, *alerts: str) -> None:
    """Of the stream's alerts, these and no others fire at a time."""
    expected = [(name, [""] if name in alerts else []) for name in STREAMS]
    checked(directory, series, {time: expected}, scenario="stream", name="fivefold-stream")


def test_a_stream_that_keeps_up_is_silent(tmp_path: Path) -> None:
    """A thousand events a second, a few of them in work, one in a thousand refused."""
    fires(tmp_path, worked("0+59940x200", "0+60x200", "500x200"), "3h")


def test_a_stream_with_nothing_to_do_is_silent(tmp_path: Path) -> None:
    """No event for hours, and none that waits."""
    fires(tmp_path, worked("60000x200", "0x200", "0x200"), "3h")


def test_a_stream_that_falls_behind_is_noticed(tmp_path: Path) -> None:
    """Ten minutes' worth of events wait."""
    fires(tmp_path, worked("0+60000x200", "0x200", "600000x200"), "30m", "FivefoldStreamIsBehind")


def test_a_partition_that_two_workers_tell_of_counts_once(tmp_path: Path) -> None:
    """It has just changed hands: 50 s' worth are not 100."""
    series = worked("0+60000x200", "0x200", "50000x200")
    other = WORKER.replace("stream-0", "stream-1")
    series[f'fivefold_stream_lag{{{other},topic="patients",partition="0"}}'] = "50000x200"

    fires(tmp_path, series, "30m")


def test_a_stream_that_stands_still_wakes_somebody(tmp_path: Path) -> None:
    """Events wait, and nothing is committed any more; how long they would take nobody can say."""
    series = worked("0+60000x30 1800000x170", "0x200", "0x30 0+60000x170")

    fires(tmp_path, series, "50m", "FivefoldStreamStandsStill")


@pytest.mark.parametrize(("dead", "alerts"), [("0+300x200", []), ("0+3000x200", ["FivefoldStreamHasDeadLetters"])])
def test_dead_letters_are_noticed_where_they_are_many(tmp_path: Path, dead: str, alerts: list[str]) -> None:
    """One event in two hundred is within the objective of one in a hundred, one in twenty is not."""
    fires(tmp_path, worked("0+57000x200", dead, "0x200"), "1h", *alerts)


def test_a_stream_without_workers_is_noticed(tmp_path: Path) -> None:
    """Nothing counts events where nothing runs."""
    fires(tmp_path, {f'fivefold_bundle_info{{{WORKER},bundle="a"}}': "1x10 stale"}, "20m", "FivefoldStreamHasNoWorker")


HEALTHY = {
    "devices": "3x300",
    "silent_devices": "0x300",
    "copied_devices": "0x300",
    "failed_transactions_total": "0x300",
    "disk_bytes": "100x300",
    "disk_free_bytes": "50x300",
    "head": "0+60x300",
    "forwarded_position": "0+60x300",
    "forwarding_trouble": "0x300",
    'backlog{lane="bulk"}': "20000-60x300",
    'release_halted{model="demo",release="2"}': "0x300",
    'release_devices{model="demo",release="2",state="active"}': "3x300",
}
"""A hub whose devices catch up, by minute."""


def hub_fires(directory: Path, changes: dict[str, str], *alerts: str) -> None:
    """Of the hub's alerts, these and no others fire after four and a half hours."""
    series = {}
    for name, values in (HEALTHY | changes).items():
        metric, _, labels = name.partition("{")
        series[f"fivefold_hub_{metric}{{{HUB}{',' + labels if labels else '}'}"] = values
    expected = [(name, [""] if name in alerts else []) for name in HUBS]
    checked(directory, series, {"4h30m": expected}, scenario="hub", name="fivefold-hub")


@pytest.mark.parametrize(
    ("changes", "alert"),
    [
        ({}, ""),
        ({"failed_transactions_total": "0+1x300"}, "FivefoldHubStoreFails"),
        ({"disk_free_bytes": "9x300"}, "FivefoldHubDiskIsNearlyFull"),
        ({"forwarding_trouble": "0x200 1x100", "forwarded_position": "0+60x200"}, "FivefoldHubForwardsNothing"),
        ({"forwarded_position": "0+60x200 12000x100"}, "FivefoldHubForwardsNothing"),
        ({"head": "600x300", "forwarded_position": "600x300"}, ""),
        ({"silent_devices": "0x250 2x50"}, "FivefoldHubDevicesAreSilent"),
        ({'backlog{lane="bulk"}': "2000+60x300"}, "FivefoldHubBacklogGrows"),
        ({'backlog{lane="bulk"}': "0+1x300"}, ""),
        (
            {'release_devices{model="demo",release="2",state="rolled_back"}': "0x200 1x100"},
            "FivefoldHubReleaseGoesBack",
        ),
        ({'release_halted{model="demo",release="2"}': "0x200 1x100"}, "FivefoldHubReleaseGoesBack"),
        ({"copied_devices": "0x200 1x100"}, "FivefoldHubOutboxIsCopied"),
        ({"devices": "3x200 stale"}, "FivefoldHubHasNoPod"),
    ],
)
def test_the_hubs_troubles_are_noticed_each_by_its_alert(tmp_path: Path, changes: dict[str, str], alert: str) -> None:
    """And a hub without any is silent, also where nothing comes, and where little waits."""
    hub_fires(tmp_path, changes, alert)
