"""Secrets are named, never written: neither into the chart's objects nor into Helm's records."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.chart.rendering import CHART, SCENARIOS, SERVING, Release, template, typed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_object_holds_a_secret(scenario: str) -> None:
    """No Secret is rendered, no variable of such a name has a value, and Ray Serve's arguments name paths alone."""
    release = Release(scenario)

    assert not release.of("Secret")
    for name, pod in release.pods():
        for container in pod.containers:
            for variable in container.env or []:
                public = variable.name.endswith(("_TOKEN_URL", "_TOKEN_SCOPE"))
                secret = not public and any(word in variable.name for word in ("TOKEN", "PASSWORD", "SECRET", "_KEY"))
                held = variable.value and not variable.value.startswith("/")
                assert not (secret and held), (name, variable.name)
    for item in release.of("ConfigMap"):
        assert "PRIVATE KEY" not in json.dumps(item)
    settings = release.serve()["applications"][0]["args"]["settings"] if scenario in SERVING else {}
    assert settings.get("keys", "/etc/fivefold/keys") == "/etc/fivefold/keys"


def test_two_renderings_are_the_same() -> None:
    """What is rendered without a cluster does not change by itself, so a GitOps controller finds nothing to do."""
    values = (CHART / "ci" / "default.yaml").read_text()

    assert template(values).stdout == template(values).stdout


@pytest.mark.parametrize(
    ("scenario", "made"),
    [
        ("default", ["--name=fivefold", "--host=localhost", "--host=127.0.0.1"]),
        ("no-gateway", ["--name=fivefold"]),
        ("existing-gateway", ["--name=fivefold"]),
        ("cert-manager", ["--name=fivefold"]),
        ("oidc", ["--name=fivefold", "--no-keys", "--caller-key", "--host=localhost", "--host=127.0.0.1"]),
        ("own-keys", ["--name=fivefold", "--no-keys", "--caller-key", "--host=localhost", "--host=127.0.0.1"]),
        ("grpc-host", ["--name=fivefold", "--host=scores.example", "--host=grpc.scores.example"]),
    ],
)
def test_the_job_makes_what_nobody_gives(scenario: str, made: list[str]) -> None:
    """Keys where keys are asked for, a certificate for a Gateway of our own without an issuer."""
    assert Release(scenario).one("Job", "fivefold-secrets")["spec"]["template"]["spec"]["containers"][0]["args"] == made


def test_nothing_is_made_where_everything_is_given() -> None:
    """With Secrets of somebody else's no job, no account and no role exists for making them, and theirs are used."""
    release = Release("own-secrets")
    worker = typed(release.groups()["worker"]["template"]["spec"], "V1PodSpec")
    listener = release.one("Gateway")["spec"]["listeners"][0]

    assert [job["metadata"]["name"] for job in release.of("Job")] == ["fivefold-gate"]
    assert [role["metadata"]["name"] for role in release.of("Role")] == ["fivefold-gate"]
    assert release.cluster()["authOptions"] == {"mode": "token", "secretName": "ray"}
    assert {volume.secret.secret_name for volume in worker.volumes if volume.secret} == {"callers"}
    assert listener["tls"]["certificateRefs"] == [{"group": "", "kind": "Secret", "name": "scores-example"}]


def test_the_role_that_makes_secrets_can_read_no_other() -> None:
    """Making cannot be limited to names; reading and changing are."""
    rules = Release("default").one("Role", "fivefold-secrets")["rules"]
    kept = ("api-keys", "api-key", "caller-keys", "caller-key", "ray-token", "tls")
    names = [f"fivefold-{name}" for name in kept]

    assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
        (["create"], None),
        (["get", "update"], names),
    ]
    assert all(rule["resources"] == ["secrets"] for rule in rules)


def test_hooks_come_in_the_order_in_which_they_need_each_other() -> None:
    """Account, role and network first, then the binding, the job, and the gate that may need the key."""
    release = Release("default")
    weights = {
        (item["kind"], item["metadata"]["name"]): int(notes["helm.sh/hook-weight"])
        for item in release.objects
        if "pre-upgrade" in (notes := item["metadata"].get("annotations", {})).get("helm.sh/hook", "")
    }

    job = weights["Job", "fivefold-secrets"]
    assert all(
        weights[kind, "fivefold-secrets"] < job for kind in ("ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
    )
    gate = weights["Job", "fivefold-gate"]
    assert job < gate
    needed = ("ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
    assert all(weights[kind, "fivefold-gate"] < gate for kind in needed)


@pytest.mark.parametrize(
    ("scenario", "key", "known"),
    [
        ("default", "fivefold-api-key", ["fivefold-api-keys"]),
        ("own-secrets", "platform", ["callers"]),
        ("own-keys", "fivefold-caller-key", ["callers", "fivefold-caller-keys"]),
        ("oidc", "fivefold-caller-key", ["fivefold-caller-keys"]),
        ("open", None, []),
    ],
)
def test_our_own_jobs_have_a_key_that_the_server_knows(scenario: str, key: str | None, known: list[str]) -> None:
    """Whoever else may ask: with keys or tokens of somebody else's, one is made for the gate and the test alone."""
    release = Release(scenario)
    worker = typed(release.groups()["worker"]["template"]["spec"], "V1PodSpec")
    volumes = {volume.name: volume for volume in worker.volumes}
    settings = release.serve()["applications"][0]["args"]["settings"]
    pods = dict(release.pods())

    for name in {"fivefold-gate", "fivefold-test"} & set(pods):
        variables = {each.name: each for each in pods[name].containers[0].env}
        found = variables["FIVEFOLD_KEY"].value_from.secret_key_ref.name if "FIVEFOLD_KEY" in variables else None
        assert found == key, name
    keys = volumes.get("api-keys")
    sources = [] if keys is None else [each.secret for each in keys.projected.sources] if keys.projected else []
    names = [each.name for each in sources] or ([keys.secret.secret_name] if keys else [])
    assert names == known
    mounted = any(each.name == "api-keys" for each in worker.containers[0].volume_mounts)
    assert ("keys" in settings) == bool(known) == mounted


def test_a_token_of_the_issuer_may_stand_in_for_that_key() -> None:
    """Where tokens alone are taken, a Secret with one is as good as one with a key."""
    values = yaml.safe_load((CHART / "ci" / "oidc.yaml").read_text())
    values["keys"]["callerSecret"] = "robot"
    release = Release.of_values(values)
    made = typed(release.one("Job", "fivefold-secrets")["spec"]["template"]["spec"], "V1PodSpec")
    gate = typed(release.one("Job", "fivefold-gate")["spec"]["template"]["spec"], "V1PodSpec")

    assert "--caller-key" not in made.containers[0].args
    (key,) = [each.value_from.secret_key_ref.name for each in gate.containers[0].env if each.name == "FIVEFOLD_KEY"]
    assert key == "robot"
    assert "keys" not in release.serve()["applications"][0]["args"]["settings"]


def test_everybody_may_ask_only_where_values_say_so() -> None:
    """The server is told to listen openly when keys are off and nobody issues tokens, and never otherwise."""
    allowed = {
        scenario: "allow_public" in Release(scenario).serve()["applications"][0]["args"]["settings"]
        for scenario in SERVING
    }

    assert [scenario for scenario, said in allowed.items() if said] == ["open"]


def test_the_arguments_are_what_the_host_takes() -> None:
    """Every scenario's arguments make the host's own typed arguments, settings included."""
    from fivefold.online.ray.arguments import Arguments

    for scenario in SERVING:
        arguments = yaml.safe_load(yaml.safe_dump(Release(scenario).serve()["applications"][0]["args"]))
        assert Arguments.model_validate(arguments).models, scenario
