"""The way to bundles and from the gateway: what policies would keep from working is refused, what is open is said."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.flows import Host, Pod, allowed, pods
from tests.chart.rendering import CHART, KUBERNETES, ROOT, Release, helm, notes, objects, template

DIGEST = "a" * 64
S3 = f"s3://models/a.tar#sha256={DIGEST}"
HTTPS = f"https://models.example/a.tar#sha256={DIGEST}"
IN_IMAGE = f"registry.example/models/a@sha256:{DIGEST}"
WAY = [{"ports": [{"protocol": "TCP", "port": 443}]}]
ENVOY = Pod("envoy-gateway-system", {"gateway.envoyproxy.io/owning-gateway-name": "scores-fivefold"})
STORE = Host("203.0.113.7")


def online(model: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"online": {"models": [model]}, **more}


def batch(**paths: Any) -> dict[str, Any]:
    given = {"input": ["/data/in"], "output": "/data/{date}", "claim": "data", **paths}
    return {**online({"image": IN_IMAGE}), "batch": {"enabled": True, **given}}


def stream(**model: str) -> dict[str, Any]:
    topics = {"from": "kafka://kafka:9092/a", "to": "kafka://kafka:9092/b"}
    return {"online": {"enabled": False}, "stream": {"enabled": True, "model": model, **topics}}


def said(values: dict[str, Any]) -> str:
    """What the chart refuses values with; empty where it takes them."""
    done = template(yaml.safe_dump(values))
    return done.stderr if done.returncode else ""


CUT_OFF = [
    (online({"url": S3}), "online.models[0].url, s3://models/a.tar, got none"),
    (online({"url": HTTPS}), "online.models[0].url, https://models.example/a.tar, got none"),
    (online({"url": S3.replace("s3", "gs")}), "online.models[0].url, gs://models/a.tar, got none"),
    (
        {"online": {"models": [{"image": IN_IMAGE}, {"url": HTTPS}, {"url": S3}]}},
        "online.models[1].url, https://models.example/a.tar, and to 1 more, got none",
    ),
    (batch(input=["s3://data/in/*"]), "batch.input[0], s3://data/in/*, got none"),
    (batch(output="gs://scores/{date}"), "batch.output, gs://scores/{date}, got none"),
    (batch(model=S3), "batch.model, s3://models/a.tar, got none"),
]


@pytest.mark.parametrize(("values", "sentence"), CUT_OFF)
def test_what_pods_cannot_reach_is_refused(values: dict[str, Any], sentence: str) -> None:
    """By the value that sends them there; each of three rules is a way."""
    assert f"networkPolicy.stores: expected a rule that lets pods to {sentence}" in said(values)

    proxy = {"proxy": {"https": "http://proxy:3128"}, "networkPolicy": {"proxy": WAY}}
    for way in ({"networkPolicy": {"stores": WAY}}, {"networkPolicy": {"egress": WAY}}, proxy):
        assert said(values | way) == ""
    assert said(values | {"networkPolicy": {"enabled": False}}) == ""


def test_a_streams_bundle_needs_a_way_of_its_own() -> None:
    """`egress` is not for workers of the stream."""
    brokers = {"brokers": [{"ports": [{"port": 9092}]}]}
    sentence = (
        "networkPolicy.stores: expected a rule that lets workers of the stream to their bundle, s3://models/a.tar"
    )

    for values in (stream(url=S3), {**stream(), "online": {"enabled": False, "models": [{"url": S3}]}}):
        assert sentence in said(values | {"networkPolicy": brokers})
        assert sentence in said(values | {"networkPolicy": brokers | {"egress": WAY}})
        assert said(values | {"networkPolicy": brokers | {"stores": WAY}}) == ""
    assert said(stream(image=IN_IMAGE) | {"networkPolicy": brokers}) == ""


@pytest.mark.parametrize(
    "model", [{"image": IN_IMAGE}, {"url": f"file:///bundles/claim/a.tar#sha256={DIGEST}"}], ids=["image", "volume"]
)
def test_what_is_in_the_cluster_needs_no_way(model: dict[str, str]) -> None:
    assert said(online(model, bundles={"claim": "bundles"})) == ""


NAMED = {"image": {"repository": "registry.example/fivefold/ray"}}
OPEN = "What these values leave open:"


def test_an_image_without_a_registry_is_said(noted: Path) -> None:
    """Of each that is used."""
    hub = {**online({"image": IN_IMAGE}), "hub": {"enabled": True}}

    assert "image.repository: fivefold/ray:0.1.0 names no registry" in notes(noted, hub)
    assert "hub.image.repository: fivefold/hub:0.1.0 names no registry" in notes(noted, hub)
    assert "stream.image" not in notes(noted, hub)
    for repository in ("registry.example/ray", "localhost/ray", "host:5000/ray"):
        assert OPEN not in notes(noted, online({"image": IN_IMAGE}, image={"repository": repository}))


def test_a_bucket_that_nobody_may_read_is_said(noted: Path) -> None:
    """Until a Secret, an account or a variable is there; a web server asks nobody who they are."""
    values = online({"url": S3}, networkPolicy={"stores": WAY}, **NAMED)
    text = notes(noted, values)

    assert "online.models[0].url: nothing says who asks s3://models/a.tar: expected a Secret in bundles" in text
    assert "account scores-fivefold-worker" in text
    given: list[dict[str, Any]] = [
        {"bundles": {"credentialsSecret": "a"}},
        {"online": {**values["online"], "workers": {"accountAnnotations": {"a": "b"}}}},
        {"online": {**values["online"], "environment": {"AWS_SKIP_SIGNATURE": "true"}}},
        {
            "online": {
                **values["online"],
                "workers": {"pod": {"env": [{"name": "GOOGLE_SERVICE_ACCOUNT", "value": "a"}]}},
            }
        },
        {"online": {"models": [{"url": HTTPS}]}},
    ]
    region = {"online": {**values["online"], "environment": {"AWS_REGION": "eu-central-1"}}}
    assert OPEN in notes(noted, values | region)
    for more in given:
        assert OPEN not in notes(noted, values | more), more


def test_a_runs_bucket_is_asked_about_on_its_own(noted: Path) -> None:
    values = batch(input=["s3://data/in/*"]) | {"networkPolicy": {"stores": WAY}} | NAMED

    assert "batch.input[0]: nothing says who asks s3://data/in/*" in notes(noted, values)
    values["batch"]["credentialsSecret"] = "a"
    assert OPEN not in notes(noted, values)


def test_whose_pods_call_is_asked_where_that_may_not_be_traefik(noted: Path) -> None:
    """An existing Gateway, or a class of another name, which may be Traefik's all the same."""
    envoy = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "envoy-gateway-system"}}}]
    for gateway in ({"existing": {"name": "shared", "namespace": "gateways"}}, {"className": "envoy"}):
        values = online({"image": IN_IMAGE}, gateway=gateway, **NAMED)

        assert "networkPolicy.callers: Traefik's pods in the namespace traefik are let in" in notes(noted, values)
        assert OPEN not in notes(noted, values | {"networkPolicy": {"callers": envoy}})
        assert OPEN not in notes(noted, values | {"networkPolicy": {"enabled": False}})
    for named in ({"className": "traefik-internal"}, {"className": "envoy", "enabled": False}):
        assert OPEN not in notes(noted, online({"image": IN_IMAGE}, gateway=named, **NAMED))


def test_the_readmes_command_works(noted: Path) -> None:
    """With its values as they stand there: who has to reach whom does, and nothing is left open but the image, which a
    released chart names."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (values,) = re.findall(r"^```yaml\n(online:\n.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r"^(helm upgrade --install scores .*?)\n(?!  )", readme.replace("\\\n", ""), re.MULTILINE)
    given = yaml.safe_load(values.replace("DIGEST", DIGEST))
    words = shlex.split(command)
    done = helm("template", "scores", str(CHART), "--namespace", "scores", "--kube-version", KUBERNETES, "-f", "-",
                values=yaml.safe_dump(given))  # fmt: skip
    assert done.returncode == 0, done.stderr
    release = Release.__new__(Release)
    release.objects = objects(done.stdout)
    policies, made = release.of("NetworkPolicy"), pods(release)
    operator = Pod("kuberay-system", {"app.kubernetes.io/component": "kuberay-operator"})

    assert words[words.index("--version") + 1] == yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert words[words.index("-f") + 1] == "scores.yaml"
    assert all(allowed(policies, ENVOY, made["worker"], port) for port in (8000, 9000))
    assert not allowed(policies, Pod("traefik", {"app.kubernetes.io/name": "traefik"}), made["worker"], 8000)
    assert allowed(policies, operator, made["head"], 8265)
    assert all(allowed(policies, made[name], STORE, 443) for name in ("worker", "scores-fivefold-gate"))
    assert release.one("Gateway")["metadata"]["name"] == "scores-fivefold"
    assert release.one("ServiceAccount", "scores-fivefold-worker")["metadata"]["annotations"]
    assert OPEN not in notes(noted, given | NAMED)


def test_it_is_said_where_the_page_is(noted: Path) -> None:
    """With the host, the port and the path that it has; and that its image has no registry."""
    page = {"enabled": True, "image": "pages/a:1"}

    assert "https://localhost:8443/site/\n" in notes(noted, {"online": {"enabled": False}, "site": page})
    assert "site.image: pages/a:1 names no registry" in notes(noted, {"online": {"enabled": False}, "site": page})
    given = {"site": page | {"hostnames": ["a.example"], "path": "/"}, "gateway": {"port": 443}}
    assert "https://a.example:443/\n" in notes(noted, {"online": {"enabled": False}, **given})
