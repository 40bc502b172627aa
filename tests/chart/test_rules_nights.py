"""Whole nights under all alerts of a release: a healthy one wakes nobody, a bad one raises what it should alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.chart import prometheus
from tests.chart.rendering import APIS, CHART, objects, template

MINUTES = 24 * 60
DUSK, DAWN = 10 * 60, 18 * 60
"""The night begins and ends, in minutes."""

NAMESPACE = 'namespace="scores"'
ONLINE = f'{NAMESPACE},job="scores/fivefold"'
ASKED = f'{ONLINE},pattern="online",model="demo",version="1",transport="http"'
STREAM = f'{NAMESPACE},job="scores/fivefold-stream"'
HUB = f'{NAMESPACE},job="scores/fivefold-hub",pod="fivefold-hub-0"'
KUBE = f'{NAMESPACE},job="kube-state-metrics"'
CERTIFICATE = 'exported_namespace="scores",namespace="cert-manager",name="fivefold"'

GONE = "stale"
ABSENT = "_"
Values = list[Any]
Series = dict[str, Values]


@cache
def rules() -> list[dict[str, Any]]:
    """Of a release that has everything: the service, runs, a stream, a hub and a certificate of cert-manager's."""
    files = [part for name in ("stream", "hub", "cert-manager") for part in ("-f", str(CHART / "ci" / f"{name}.yaml"))]
    done = template((CHART / "ci" / "batch.yaml").read_text(), *files, *(f"--api-versions={api}" for api in APIS))
    assert done.returncode == 0, done.stderr
    return [item["spec"] for item in objects(done.stdout) if item["kind"] == "PrometheusRule"]


def flat(value: Any) -> Values:
    """The same all the time."""
    return [value] * MINUTES


def count(each: Callable[[int], float]) -> Values:
    """A counter that grows by `each(minute)`."""
    total, out = 0.0, []
    for minute in range(MINUTES):
        total += each(minute)
        out.append(total)
    return out


def once(*minutes: int) -> Values:
    """A counter of what happens at these minutes."""
    return count(lambda minute: minutes.count(minute))


def during(begin: int, end: int, value: Any = 1) -> Values:
    """A series that is there from one minute until another."""
    return [ABSENT] * begin + [value] * (end - begin) + [GONE] + [ABSENT] * (MINUTES - end - 1)


def traffic(day: float, night: float) -> Callable[[int], float]:
    """So many a minute."""
    return lambda minute: night if DUSK <= minute < DAWN else day


UPGRADE, UPGRADED = DUSK - 120, DUSK - 112
"""A second cluster comes, answers beside the first one, and the first one goes."""

SCALED_IN = DUSK - 30


def online() -> Series:
    """Replicas whose callers give up, err, and at night hardly call; one call fails in the middle of the night."""
    requests = f"ray_fivefold_requests_total{{{ASKED}"
    times = f"ray_fivefold_request_seconds_bucket_total{{{ASKED}"
    old, new = (f'ray_fivefold_bundle_info{{{ONLINE},model="demo",version="1",bundle="{each}"' for each in "ab")
    end = MINUTES - 1
    return {
        f'{requests},code="ok"}}': count(traffic(6000, 1)),
        f'{requests},code="out_of_range"}}': count(traffic(600, 0)),
        f'{requests},code="deadline_exceeded"}}': count(traffic(300, 0.2)),
        f'{requests},code="overloaded"}}': count(lambda minute: 40 if minute == DUSK - 200 else 0),
        f'{requests},code="not_ready"}}': flat(0),
        f'{requests},code="model_failed"}}': flat(0),
        f'{requests},code="internal"}}': once(DUSK + 180),
        f'{times},le="0.1"}}': count(lambda minute: traffic(6880, 1.2)(minute) - (minute == DUSK + 180)),
        f'{times},le="+Inf"}}': count(traffic(6900, 1.2)),
        f'{old},pod="a-1"}}': during(0, UPGRADED),
        f'{old},pod="a-2"}}': during(0, UPGRADED),
        f'{new},pod="b-1"}}': during(UPGRADE, end),
        f'{new},pod="b-2"}}': during(UPGRADE + 2, end),
        f'{new},pod="b-3"}}': during(UPGRADE + 2, SCALED_IN),
        f'{new},pod="b-4"}}': during(UPGRADE + 2, SCALED_IN),
        f'ray_fivefold_keys_age_seconds{{{ONLINE},pattern="online",pod="b-1"}}': flat(0.6),
    }


def stream() -> Series:
    """Three workers of which each is updated once; at night an event a minute, and one of them is refused."""
    out: Series = {}
    for worker, share in enumerate((0.5, 0.25, 0.25)):
        pod = f'{STREAM},pod="fivefold-stream-{worker}",model="demo",version="1"'
        events = f"fivefold_stream_events_total{{{pod}"
        out[f'{events},outcome="scored"}}'] = count(
            lambda minute, share=share: share * traffic(60_000, 1)(minute)  # type: ignore[misc]
        )
        out[f'{events},outcome="dead_letter"}}'] = once(*([DUSK + 100] if worker == 0 else []))
        lag = f'fivefold_stream_lag{{{STREAM},pod="fivefold-stream-{worker}",topic="patients",partition="{worker}"}}'
        out[lag] = [500 if traffic(1, 0)(minute) else minute % 2 for minute in range(MINUTES)]
        info = flat(1)
        info[UPGRADE + 3 * worker : UPGRADE + 3 * worker + 2] = [GONE, ABSENT]
        out[f'fivefold_bundle_info{{{pod},pattern="stream",bundle="a"}}'] = info
        out[f"fivefold_stream_rewinds_total{{{pod}}}"] = once(UPGRADE + 3 * worker)
    return out


def hub() -> Series:
    """Devices that report, and keep little."""
    told = {
        "devices": flat(3),
        "silent_devices": flat(0),
        "copied_devices": flat(0),
        "failed_transactions_total": flat(0),
        "disk_bytes": flat(100),
        "disk_free_bytes": flat(50),
        "head": count(traffic(60, 1)),
        "forwarded_position": count(traffic(60, 1)),
        "forwarding_trouble": flat(0),
    }
    return {f"fivefold_hub_{name}{{{HUB}}}": values for name, values in told.items()} | {
        f'fivefold_hub_backlog{{{HUB},lane="bulk"}}': flat(20)
    }


def cluster() -> Series:
    """A run at two, one of last week that failed and is in the history still, heads of two clusters in turn."""
    run, yesterday, week = 120 * 60, -22 * 3600, -7 * 86_400
    ended = 150
    owner = 'owner_kind="CronJob",owner_name="fivefold-batch"'
    sets = {"fivefold-stream": 3, "fivefold-hub": 1}
    out: Series = {
        f'kube_pod_info{{{KUBE},pod="fivefold-aaaaa-head-xxxxx",pod_ip="10.0.0.1"}}': during(0, UPGRADED),
        f'kube_pod_info{{{KUBE},pod="fivefold-bbbbb-head-yyyyy"}}': during(UPGRADE - 3, UPGRADE - 2),
        f'kube_pod_info{{{KUBE},pod="fivefold-bbbbb-head-yyyyy",pod_ip="10.0.0.2"}}': during(UPGRADE - 2, MINUTES - 1),
        f'kube_pod_info{{{KUBE},pod="fivefold-batch-20260301020000-ccccc-head-zzzzz"}}': during(125, 140),
        f'kube_pod_info{{{KUBE},pod="other-0"}}': flat(1),
        head_ready("fivefold-aaaaa-head-xxxxx"): during(0, UPGRADED),
        head_ready("fivefold-bbbbb-head-yyyyy"): [ABSENT] * (UPGRADE - 2) + [0] + [1] * (MINUTES - UPGRADE + 1),
        restarts("fivefold-bbbbb-head-yyyyy"): [ABSENT] * (UPGRADE - 2) + [0] * (MINUTES - UPGRADE + 2),
        f'kube_cronjob_next_schedule_time{{{KUBE},cronjob="fivefold-batch"}}': [
            run if minute < 121 else run + 86_400 for minute in range(MINUTES)
        ],
        f'kube_cronjob_status_last_successful_time{{{KUBE},cronjob="fivefold-batch"}}': [
            yesterday if minute < ended else ended * 60 for minute in range(MINUTES)
        ],
        f"certmanager_certificate_renewal_timestamp_seconds{{{CERTIFICATE}}}": flat(30 * 86_400),
        f"certmanager_certificate_expiration_timestamp_seconds{{{CERTIFICATE}}}": flat(60 * 86_400),
    }
    out |= job("fivefold-batch-1", owner, flat(week), flat(1))
    out |= job("fivefold-batch-2", owner, during(121, MINUTES - 1, run), during(121, MINUTES - 1, 0))
    out |= job("nightly-backup-1", 'owner_kind="CronJob",owner_name="nightly-backup"', flat(0), flat(1))
    for name, wanted in sets.items():
        ready = flat(wanted)
        ready[UPGRADE : UPGRADE + 9] = [wanted - 1] * 9
        out[f'kube_statefulset_replicas{{{KUBE},statefulset="{name}"}}'] = flat(wanted)
        out[f'kube_statefulset_status_replicas_ready{{{KUBE},statefulset="{name}"}}'] = ready
    return out


def head_ready(pod: str) -> str:
    """The series of a pod that is ready."""
    return f'kube_pod_status_ready{{{KUBE},pod="{pod}",condition="true"}}'


def restarts(pod: str) -> str:
    """The series of a head's container."""
    return f'kube_pod_container_status_restarts_total{{{KUBE},pod="{pod}",container="ray-head"}}'


def job(name: str, owner: str, began: Values, failed: Values) -> Series:
    """What kube-state-metrics says of a Job that has ended."""
    labels = f'{KUBE},job_name="{name}"'
    there = [1 if isinstance(each, int) else each for each in began]
    return {
        f"kube_job_status_start_time{{{labels}}}": began,
        f'kube_job_failed{{{labels},condition="true"}}': failed,
        f'kube_job_failed{{{labels},condition="false"}}': [
            1 - each if isinstance(each, int) else each for each in failed
        ],
        f'kube_job_owner{{{labels},{owner},owner_is_controller="true"}}': there,
    }


def night() -> Series:
    """Everything of a healthy one."""
    return online() | stream() | hub() | cluster()


def raised(
    directory: Path, series: Series, alerts: Iterable[str], begin: int = 0, end: int = MINUTES, *, every: str
) -> None:
    """These alerts, each a name and a severity, fire at any time between two minutes, and no others."""
    given = {name: " ".join(map(_word, values[begin:end])) for name, values in series.items()}
    fired = f'group by (alertname, severity) (count_over_time(ALERTS{{alertstate="firing"}}[{end - begin}m]))'
    words = [alert.split() for alert in sorted(alerts)]
    expected = [{"labels": f'{{alertname="{name}",severity="{severity}"}}', "value": 1} for name, severity in words]
    question = {"expr": fired, "eval_time": f"{end - begin - 1}m", "exp_samples": expected}
    prometheus.promtool(directory, rules(), given, {"promql_expr_test": [question]}, every=every)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if value < 1e6 else f"{value:.0f}"


@pytest.mark.full
def test_a_healthy_night_wakes_nobody(tmp_path: Path) -> None:
    """A day and its night: hardly a call, one that fails, callers that give up, an upgrade, a scale-in, a run."""
    raised(tmp_path, night(), [], every="30s")


BEGIN, END = DUSK + 150, DUSK + 280
"""Two hours of the night in which something goes wrong. Prometheus' clock is at zero when they begin."""

TROUBLE = BEGIN + 20


def since(before: Any, after: Any) -> Values:
    """One value until the trouble begins, another one from then on; a series that ends says so once."""
    tail = [after, *[ABSENT if after == GONE else after] * (MINUTES - TROUBLE - 1)]
    return [before] * TROUBLE + tail


def growing(each: float) -> Values:
    """A counter that stands still until the trouble begins."""
    return count(lambda minute: each if minute >= TROUBLE else 0)


def asked(code: str, values: Values, labels: str = ASKED) -> Series:
    """Requests that ended with a code."""
    return {f'ray_fivefold_requests_total{{{labels},code="{code}"}}': values}


def bundle(digest: str, pod: str, values: Values) -> Series:
    """A replica's bundle."""
    return {f'ray_fivefold_bundle_info{{{ONLINE},model="demo",version="1",bundle="{digest}",pod="{pod}"}}': values}


def head(pod: str, address: str, values: Values) -> Series:
    """A head's pod."""
    return {f'kube_pod_info{{{KUBE},pod="{pod}",pod_ip="{address}"}}': values}


def cron(name: str, values: Values) -> Series:
    """What is known of the CronJob."""
    return {f'kube_cronjob_{name}{{{KUBE},cronjob="fivefold-batch"}}': values}


def certificate(renewal: float, expiration: float) -> Series:
    """When it should be renewed, and when it ends."""
    return {
        f"certmanager_certificate_renewal_timestamp_seconds{{{CERTIFICATE}}}": flat(renewal),
        f"certmanager_certificate_expiration_timestamp_seconds{{{CERTIFICATE}}}": flat(expiration),
    }


OURS = 'owner_kind="CronJob",owner_name="fivefold-batch"'
FAILED_RUN = job("fivefold-batch-3", OURS, since(ABSENT, 20_000), since(ABSENT, 1))
SECOND_HEAD = head("fivefold-ccccc-head-wwwww", "10.0.0.3", since(ABSENT, 1))
OTHERS = ASKED.replace("scores/fivefold", "scores/blue-fivefold")
FAST = f'ray_fivefold_request_seconds_bucket_total{{{ASKED},le="0.1"}}'
LAST_WORKER = f'{STREAM},pod="fivefold-stream-2",model="demo",version="1"'
NO_PODS: Series = {name: during(0, 1) for name in cluster() if name.startswith("kube_pod_info")}

BAD: dict[str, tuple[Series, set[str]]] = {
    "every call fails": (
        asked("ok", flat(0)) | asked("internal", growing(1)),
        {"FivefoldFails critical", "FivefoldFails warning"},
    ),
    "deadlines of callers": (asked("deadline_exceeded", growing(50)), set()),
    "mistakes of callers": (asked("out_of_range", growing(50)), set()),
    "slow": ({FAST: since(0, 0)}, {"FivefoldIsSlow critical", "FivefoldIsSlow warning"}),
    "full": (
        asked("ok", count(lambda _: 1000)) | asked("overloaded", growing(100)),
        {"FivefoldFails critical", "FivefoldFails warning", "FivefoldTurnsRequestsAway warning"},
    ),
    "no replica": (
        bundle("b", "b-1", since(1, GONE)) | bundle("b", "b-2", since(1, GONE)),
        {"FivefoldHasNoReplica critical"},
    ),
    "one replica": (bundle("b", "b-2", since(1, GONE)), {"FivefoldHasFewReplicas warning"}),
    "an upgrade that stays half": (
        bundle("c", "c-1", since(ABSENT, 1)) | SECOND_HEAD,
        {"FivefoldServesTwoBundles warning", "FivefoldRolloutIsStuck warning"},
    ),
    "keys that cannot be read": (
        {f'ray_fivefold_keys_age_seconds{{{ONLINE},pattern="online",pod="b-1"}}': growing(60)},
        {"FivefoldCannotReadKeys critical"},
    ),
    "a head that is another one": (
        head("fivefold-bbbbb-head-yyyyy", "10.0.0.2", since(1, GONE))
        | head("fivefold-bbbbb-head-wwwww", "10.0.0.3", since(ABSENT, 1)),
        {"FivefoldHeadRestarted warning"},
    ),
    "a head that is another one of the same name": (
        {f'kube_pod_info{{{KUBE},pod="fivefold-eeeee-head",uid="1"}}': since(1, GONE)}
        | {f'kube_pod_info{{{KUBE},pod="fivefold-eeeee-head",uid="2"}}': since(ABSENT, 1)}
        | head("fivefold-bbbbb-head-yyyyy", "10.0.0.2", flat(ABSENT)),
        {"FivefoldHeadRestarted warning"},
    ),
    "a head that crashed": ({restarts("fivefold-bbbbb-head-yyyyy"): since(0, 1)}, {"FivefoldHeadRestarted warning"}),
    "a head that is not ready": (
        {head_ready("fivefold-bbbbb-head-yyyyy"): since(1, 0)},
        {"FivefoldHeadIsAway critical"},
    ),
    "a head that nobody makes anew": (
        head("fivefold-bbbbb-head-yyyyy", "10.0.0.2", since(1, GONE))
        | {head_ready("fivefold-bbbbb-head-yyyyy"): since(1, GONE)},
        {"FivefoldHeadIsAway critical"},
    ),
    "a worker of the stream that stays away": (
        {
            f'fivefold_bundle_info{{{LAST_WORKER},pattern="stream",bundle="a"}}': since(1, GONE),
            f'kube_statefulset_status_replicas_ready{{{KUBE},statefulset="fivefold-stream"}}': since(3, 2),
        },
        {"FivefoldStreamHasFewWorkers warning", "FivefoldPodsAreNotReady warning"},
    ),
    "a run that failed": (FAILED_RUN, {"FivefoldBatchRunFailed warning"}),
    "a first run that failed": (
        FAILED_RUN | cron("status_last_successful_time", flat(ABSENT)),
        {"FivefoldBatchRunFailed warning"},
    ),
    "a run that is missed": (cron("next_schedule_time", flat(0)), {"FivefoldBatchRunIsMissed warning"}),
    "runs that are suspended": (cron("next_schedule_time", flat(ABSENT)), set()),
    "a certificate that is late": (certificate(-21_600, 20 * 86_400), {"FivefoldCertificateEnds warning"}),
    "a certificate that ends": (
        certificate(-21_600, 4 * 3600),
        {"FivefoldCertificateEnds warning", "FivefoldCertificateEnds critical"},
    ),
    "a certificate of an hour": (certificate(4 * 3600, 5 * 3600), set()),
    "nobody who knows of pods": (NO_PODS, {"FivefoldClusterIsNotWatched warning"}),
    "another release that fails": (
        asked("internal", growing(100), OTHERS) | head("blue-fivefold-ddddd-head-wwwww", "10.0.0.4", flat(1)),
        set(),
    ),
}
"""What changes in a healthy night, and the alerts that it raises with their severities."""


@pytest.mark.full
@pytest.mark.rare
@pytest.mark.parametrize("trouble", BAD)
def test_a_bad_night_raises_its_alerts_and_no_others(tmp_path: Path, trouble: str) -> None:
    """Whatever else a night is full of."""
    changes, alerts = BAD[trouble]
    raised(tmp_path, night() | changes, alerts, BEGIN, END, every="1m")


@pytest.mark.parametrize(("calls", "alerts"), [(8, set()), (15, {"FivefoldFails critical", "FivefoldFails warning"})])
def test_a_few_calls_that_fail_wake_nobody_however_few_there_are(tmp_path: Path, calls: int, alerts: set[str]) -> None:
    """In a night with one call a minute they are a large share for half an hour; ten are what the values ask for."""
    failing = once(*range(TROUBLE, TROUBLE + calls))

    raised(tmp_path, night() | asked("internal", failing), alerts, BEGIN, END, every="30s")


def test_every_alert_has_its_bad_night() -> None:
    """Those of the stream and of the hub by themselves are told of beside the other unit tests."""
    named = {
        rule["alert"] for spec in rules() for group in spec["groups"] for rule in group["rules"] if "alert" in rule
    }
    tested = {alert.partition(" ")[0] for _, alerts in BAD.values() for alert in alerts}

    assert {name for name in named if not name.startswith(("FivefoldStream", "FivefoldHub"))} <= tested
