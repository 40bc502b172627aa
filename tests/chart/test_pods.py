"""What holds for every pod of the chart, in every scenario."""

from __future__ import annotations

import json

import pytest
from ray.serve._private import constants

from fivefold.online.ray import cluster_variables
from tests.chart.rendering import CHART, SCENARIOS, SERVING, Release, containers, objects, template, typed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_container_is_confined(scenario: str) -> None:
    """Nobody's root, nothing to write but what is mounted, no capability, the runtime's own filter of calls."""
    for name, pod in Release(scenario).pods():
        assert pod.security_context.run_as_non_root is True, name
        # OpenShift gives each namespace ids of its own, and refuses others.
        assert (pod.security_context.run_as_user is None) == (scenario == "openshift"), name
        assert pod.security_context.run_as_user != 0, name
        assert pod.security_context.seccomp_profile.type == "RuntimeDefault", name
        for container in containers(pod):
            context = container.security_context

            assert context.allow_privilege_escalation is False, (name, container.name)
            assert context.read_only_root_filesystem is True, (name, container.name)
            assert context.capabilities.drop == ["ALL"], (name, container.name)
            assert not context.capabilities.add, (name, container.name)
            assert not pod.host_network, name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_container_says_what_it_needs_and_gets(scenario: str) -> None:
    """Requests and limits of cpu, memory and disk, everywhere; every writable directory has an end."""
    for name, pod in Release(scenario).pods():
        for container in containers(pod):
            assert set(container.resources.requests) == {"cpu", "memory", "ephemeral-storage"}, (name, container.name)
            gpu = {"nvidia.com/gpu"} if (scenario, container.name) == ("gpu", "ray-worker") else set()
            limits = {"cpu", "memory", "ephemeral-storage"} | gpu
            assert set(container.resources.limits) == limits, (name, container.name)
        for volume in pod.volumes or []:
            assert volume.empty_dir is None or volume.empty_dir.size_limit, (name, volume.name)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_pod_has_an_account_that_it_does_not_need(scenario: str) -> None:
    """A token is mounted where the Kubernetes API is called: for Secrets, runs, the gate, and a head that scales."""
    release = Release(scenario)
    scales = release.cluster().get("enableInTreeAutoscaling", False)
    for name, pod in release.pods():
        asks = name in ("fivefold-secrets", "fivefold-gate") or name.startswith("fivefold-batch")
        allowed = asks or (name == "head" and scales)

        assert pod.automount_service_account_token is allowed, name
        assert pod.enable_service_links is False, name


@pytest.mark.parametrize("group", ["head", "worker"])
def test_ray_hears_the_signal_to_drain_and_has_the_time(group: str) -> None:
    """`ray start` takes the shell's place, and what it may take is shorter than what the kubelet gives it."""
    template = Release("autoscale").groups()[group]["template"]
    pod = typed(template["spec"], "V1PodSpec")
    ray = pod.containers[0]
    variables = {item.name: item.value for item in ray.env}
    settings = Release("autoscale").serve()["applications"][0]["args"]["settings"]
    pause = ray.lifecycle.pre_stop.sleep.seconds if ray.lifecycle else 0

    assert template["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
    assert "exec $KUBERAY_GEN_RAY_START_CMD" in ray.args[0]
    drain = float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert settings["drain_seconds"] + 30 <= drain
    assert pause + drain < pod.termination_grace_period_seconds


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_ray_process_has_the_environment_of_the_host(scenario: str) -> None:
    """Head and workers find exactly what the host says that every process of the cluster must find."""
    for name, group in Release(scenario).groups().items():
        ray = typed(group["template"]["spec"], "V1PodSpec").containers[0]
        variables = {item.name: item.value for item in ray.env}

        assert cluster_variables.ENVIRONMENT.items() <= variables.items(), name
        assert variables["RAY_AUTH_MODE"] == "token", name


def test_an_idle_connection_is_never_closed_under_the_gateway() -> None:
    """By HAProxy's process of before a reload least of all: a request that is just being sent on it would be lost."""
    release = Release("default")
    pods = [typed(group["template"]["spec"], "V1PodSpec") for group in release.groups().values()]
    names = {item.name for pod in pods for item in pod.containers[0].env}

    assert "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S" not in names
    # Longer than gateways keep them.
    assert release.serve()["http_options"]["keep_alive_timeout_s"] > 600


def test_probes_ask_what_they_are_named_for() -> None:
    """Alive is a node whose raylet answers; ready is a worker that can hand a request to a replica."""
    groups = Release("default").groups()
    head, worker = (typed(groups[name]["template"]["spec"], "V1PodSpec").containers[0] for name in ("head", "worker"))
    agent = int(groups["worker"]["rayStartParams"]["dashboard-agent-listen-port"])

    for ray in (head, worker):
        for probe in (ray.startup_probe, ray.liveness_probe):
            assert (probe.http_get.path, probe.http_get.port) == ("/api/healthz", agent)
        # A start may take longer than what ends a life.
        assert ray.startup_probe.failure_threshold * ray.startup_probe.period_seconds >= 60
    asked = worker.readiness_probe._exec.command[-1]
    assert "http://localhost:8000/-/healthz" in asked
    assert f"http://localhost:{constants.RAY_SERVE_HAPROXY_STATS_PORT}/stats;csv" in asked


def test_the_head_holds_no_replica_and_gets_no_traffic() -> None:
    """Ray hands out no core of the head, and the Service leaves it out."""
    release = Release("default")

    assert release.groups()["head"]["rayStartParams"]["num-cpus"] == "0"
    assert release.one("RayService")["spec"]["excludeHeadPodFromServeSvc"] is True


@pytest.mark.parametrize("scenario", SERVING)
def test_a_budget_leaves_replicas_standing_and_lets_a_node_be_drained(scenario: str) -> None:
    """Fewer pods have to stay than are filled, so that one can go; all that can be in one pod are not all there are."""
    release = Release(scenario)
    replicas = release.serve()["applications"][0]
    settings, per = replicas["args"]["settings"], replicas["deployments"][0]["max_replicas_per_node"]
    filled = -(-settings["min_replicas"] // per)
    budgets = [item for item in release.of("PodDisruptionBudget") if item["metadata"]["name"] == "fivefold-workers"]

    assert [item["spec"]["minAvailable"] for item in budgets] == ([filled - 1] if filled > 1 else [])


EVICTION = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}


@pytest.mark.parametrize(
    ("scenario", "kept"), [("default", True), ("autoscale", False), ("image-bundle", True), ("upstream-tls", False)]
)
def test_no_autoscaler_takes_a_head_that_would_be_an_outage(scenario: str, kept: bool) -> None:
    """Without Redis, unless values say otherwise; workers are nobody's to keep."""
    groups = Release(scenario).groups()
    head, worker = (groups[name]["template"]["metadata"]["annotations"] for name in ("head", "worker"))

    assert (EVICTION.items() <= head.items()) is kept
    assert not EVICTION.keys() & worker.keys()


def test_the_values_own_annotations_come_before_the_charts() -> None:
    """A platform that means something else by one of them says so."""
    mine = {"karpenter.sh/do-not-disrupt": "false", "team": "risk"}
    values = (CHART / "ci" / "default.yaml").read_text()
    done = template(values, "--set-json", f"online.head.pod.annotations={json.dumps(mine)}")
    assert done.returncode == 0, done.stderr
    (service,) = [item for item in objects(done.stdout) if item["kind"] == "RayService"]
    found = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["metadata"]["annotations"]

    assert mine.items() <= found.items()
    assert found["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_heads_budget_is_there_where_it_is_asked_for() -> None:
    """It lets no head go, those of two clusters neither; by default a node can be drained."""
    name = "fivefold-head"
    usual, asked = (
        [item for item in Release(scenario).of("PodDisruptionBudget") if item["metadata"]["name"] == name]
        for scenario in ("default", "image-bundle")
    )

    assert usual == []
    (budget,) = [item["spec"] for item in asked]
    assert budget["minAvailable"] == 2
    assert budget["selector"]["matchLabels"]["ray.io/node-type"] == "head"
