"""Values that cannot be meant together: one sentence names the value and says what was expected."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, template

DIGEST = "a" * 64
URL = f"s3://models/a.tar#sha256={DIGEST}"
NO_STORES = {"networkPolicy.stores": [], "online.models": [{"image": f"models/a@sha256:{DIGEST}"}]}
RULE = {"ports": [{"protocol": "TCP", "port": 443}]}
LIMITS = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}


def resources(**parts: Any) -> dict[str, Any]:
    """Resources of a container with some parts of requests or limits as given: requests_cpu and the like."""
    made = copy.deepcopy(LIMITS)
    for name, amount in parts.items():
        sort, _, kind = name.partition("_")
        made[sort][kind.replace("_", "-")] = amount
    return made


def jobs(*more: dict[str, Any]) -> dict[str, Any]:
    """Two jobs: one that is right, and each of `more` with what it says instead."""
    first = {"name": "a", "input": ["s3://in/{date}"], "output": "s3://a/{date}"}
    return {"batch.jobs": [first, *({**first, "output": "s3://b/{date}", **each} for each in more)]}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    # Images and bundles.
    ("default", {"image.tag": "latest"}, "image.tag: expected a tag that means one image"),
    ("default", {"image.tag": "1.4 beta"}, "image.tag: expected letters, digits"),
    ("default", {"image.digest": "sha256:12"}, "image.digest: expected sha256:"),
    ("default", {"image.repository": "fivefold/ray:1.4"}, "image.repository: expected a name in lower case"),
    ("stream", {"stream.image.tag": "latest"}, "stream.image.tag: expected a tag"),
    ("hub", {"hub.image.digest": DIGEST}, "hub.image.digest: expected sha256:"),
    ("site", {"site.image": ""}, "site.image: expected the image of an exported page"),
    ("site", {"site.image": "pages/a:latest"}, "site.image: expected a digest"),
    ("site", {"site.path": "/ward/"}, "site.path: expected / or a path"),
    ("site", {"site.path": "ward"}, "site.path: expected / or a path"),
    ("site", {"site.path": "/../ward"}, "site.path: expected / or a path"),
    ("site", {"site.path": "/livez"}, "site.path: expected a path that the service does not answer itself"),
    ("site", {"site.path": "/v1/ward", "site.hostnames": []}, "site.path: expected a path that the service"),
    ("site", {"site.hostnames": []}, "site.hostnames: expected hosts of its own where site.path is /"),
    ("site", {"site.hostnames": ["scores.example"]}, "site.hostnames[0]: expected a host that is not the service's"),
    ("site", {"gateway.hostnames": ["*.example"]}, "site.hostnames[0]: expected a host that is not the service's"),
    ("site", {"site.hostnames": ["a.example", "a.example"]}, "site.hostnames: expected each host once"),
    (
        "grpc-host",
        {"site.enabled": True, "site.image": "pages/a:1", "site.hostnames": ["grpc.scores.example"]},
        "site.hostnames[0]: expected a host that is not that of gRPC",
    ),
    ("default", {"image.pullSecrets": ["a", "a"]}, "image.pullSecrets: expected each Secret once"),
    ("default", {"online.models": []}, "online.models: expected at least one bundle"),
    ("default", {"online.models": [{}]}, "online.models[0]: expected a url or an image, got neither"),
    (
        "default",
        {"online.models": [{"url": URL, "image": "a:1"}]},
        "online.models[0]: expected a url or an image, got both",
    ),
    (
        "default",
        {"online.models": [{"url": "s3://models/a.tar"}]},
        "online.models[0].url: expected the bundle's digest",
    ),
    (
        "default",
        {"online.models": [{"url": f"http://m/a.tar#sha256={DIGEST}"}]},
        "online.models[0].url: expected https://",
    ),
    (
        "default",
        {"online.models": [{"url": f"ftp://m/a.tar#sha256={DIGEST}"}]},
        "online.models[0].url: expected https://",
    ),
    (
        "default",
        {"online.models": [{"url": "s3://m/a.tar#sha256=AB"}]},
        "online.models[0].url: expected 64 hexadecimal",
    ),
    ("default", {"online.models": [{"image": "models/a"}]}, "online.models[0].image: expected a name with @sha256:"),
    ("default", {"online.models": [{"image": "models/a:latest"}]}, "online.models[0].image: expected a digest"),
    ("default", {"online.models": [{"image": "models/a@sha256:1"}]}, "online.models[0].image: expected @sha256:"),
    ("default", {"online.models": [{"url": URL}, {"url": URL}]}, "online.models: expected each bundle once"),
    (
        "default",
        {"online.models": [{"url": f"file:///bundles/claim/a.tar#sha256={DIGEST}"}]},
        "bundles.claim: expected the PersistentVolumeClaim",
    ),
    ("default", {"bundles.cacheSize": "4GB"}, "bundles.cacheSize: expected a size"),
    ("default", {"bundles.trustedKeysSecret": "keys"}, "bundles.trustedKeys: expected files"),
    (
        "default",
        {"bundles.trustedKeys": ["/etc/fivefold/trusted/a.pem"]},
        "bundles.trustedKeysSecret: expected the Secret",
    ),
    ("image-bundle", {"bundles.trustedKeys": ["release.pem"]}, "bundles.trustedKeys[0]: expected a file in"),
    ("batch-alone", {"batch.model": ""}, "batch.model: expected a bundle where online is not enabled"),
    ("stream-alone", {"stream.model": {"image": ""}}, "stream.model: expected a url or an image where online is not"),
    ("stream-alone", {"stream.enabled": False}, "online.enabled: expected true, or something else"),
    # Replicas and workers.
    ("default", {"online.replicas.min": 3}, "online.replicas.min: expected at most online.replicas.max, 2, got 3"),
    ("default", {"online.replicas.max": 4}, "online.replicas.max: expected at most 3, 1 in each of 3 workers, got 4"),
    ("autoscale", {"online.replicas.max": 17}, "online.replicas.max: expected at most 16, 2 in each of 8 workers"),
    (
        "default",
        {"online.replicas": {"perWorker": 4, "cpus": 0.7, "max": 7}},
        "online.replicas.max: expected at most 6, 2 in each of 3 workers",
    ),
    ("default", {"online.replicas.cpus": 3}, "online.replicas.cpus: expected at most online.workers.cpus, 2, got 3"),
    ("default", {"online.workers.maxCount": 2}, "online.workers.maxCount: expected at least online.workers.count, 3"),
    ("default", {"online.rayVersion": "2.60"}, "online.rayVersion: expected the version of Ray"),
    ("default", {"online.gcs.redis.passwordSecret": "redis"}, "online.gcs.redis.address: expected the Redis"),
    ("autoscale", {"online.gcs.redis.address": "redis"}, "online.gcs.redis.address: expected HOST:PORT"),
    (
        "default",
        {"online.workers.count": 2},
        "online.workers.count: expected room for one replica more than online.replicas.min, 2, got 2 workers of 1",
    ),
    (
        "default",
        {"online.replicas": {"min": 1, "max": 1}, "online.workers.count": 1},
        "online.workers.count: expected room for one replica more than online.replicas.min, 1, got 1 worker of 1",
    ),
    # What answers are held against.
    ("gate", {"gate.difference.old": ["s3://models/a.tar"]}, "gate.difference.old[0]: expected the bundle's digest"),
    ("gate", {"gate.difference.old": [URL, URL]}, "gate.difference.old: expected each bundle once"),
    ("gate", {"gate.difference.old": []}, "gate.difference.old: expected the bundle that is served now, got none"),
    (
        "default",
        {"gate.difference.maxChange": 0},
        "gate.difference.old: expected the bundle that is served now, got none",
    ),
    ("gate", {"gate.enabled": False}, "gate.enabled: expected true where gate.difference.old"),
    (
        "gate",
        {"gate.pod.volumes": [], "gate.pod.volumeMounts": []},
        "gate.difference.rows[0]: expected a file below bundles.claim (/bundles/claim/…) or a mount",
    ),
    (
        "gate",
        {"gate.difference.rows": ["rows.jsonl"]},
        'gate.difference.rows[0]: expected a file below /recorded/, got "rows.jsonl"',
    ),
    (
        "default",
        {"gate.difference.old": [f"file:///bundles/claim/a.tar#sha256={DIGEST}"]},
        "bundles.claim: expected the PersistentVolumeClaim with gate.difference.old[0]",
    ),
    # Quantities.
    ("default", {"online.tmpSize": "4Gb"}, "online.tmpSize: expected a size in Mi, Gi or Ti"),
    ("default", {"online.sharedMemory": "80Mi"}, "online.sharedMemory: expected more than 80Mi"),
    (
        "batch",
        {"batch.sharedMemory": "4Gi"},
        "batch.sharedMemory: expected less than batch.head.resources.limits.memory, 4Gi",
    ),
    (
        "default",
        {"online.workers.resources": resources(limits_memory="1Gb")},
        "online.workers.resources.limits.memory: expected",
    ),
    (
        "default",
        {"online.workers.resources": resources(requests_cpu="3")},
        "online.workers.resources.requests.cpu: expected at",
    ),
    (
        "default",
        {"online.workers.resources": resources(requests_memory="3G")},
        "online.workers.resources.requests.memory: expected at",
    ),
    (
        "default",
        {"online.head.resources": resources(limits_cpu="2Gi")},
        "online.head.resources.limits.cpu: expected cores",
    ),
    (
        "default",
        {"online.head.resources": resources(requests_memory="512m")},
        "online.head.resources.requests.memory: expected bytes",
    ),
    (
        "stream",
        {"stream.resources": resources(limits_ephemeral_storage="1.5Gi")},
        "stream.resources.limits.ephemeral-storage: expected",
    ),
    ("hub", {"hub.volume.size": "10G"}, "hub.volume.size: expected a size"),
    (
        "default",
        {"gate.resources": resources(requests_memory="a lot")},
        "gate.resources.requests.memory: expected a quantity",
    ),
    # Who may ask.
    ("default", {"keys": {"enabled": False, "secret": "callers"}}, "keys.enabled: expected true"),
    ("oidc", {"oidc.audience": ""}, "oidc.audience: expected the audience"),
    ("oidc", {"oidc.issuer": ""}, "oidc.issuer: expected the issuer that oidc.audience"),
    ("default", {"oidc.jwks": "https://login.example/keys"}, "oidc.issuer: expected the issuer that oidc.jwks"),
    ("oidc", {"oidc.issuer": "http://login.example"}, "oidc.issuer: expected https://"),
    # Runs.
    ("batch", {"batch.input": []}, "batch.input: expected at least one"),
    ("batch", {"batch.output": ""}, "batch.output: expected a path or URL with a date"),
    ("batch", {"batch.output": "s3://scores/all"}, "batch.output: expected {date} or {day}"),
    ("batch", {"batch.output": "s3://scores/{date}/{week}"}, "batch.output: expected no other braces"),
    ("batch", {"batch.input": ["s3://data/{week}/*"]}, "batch.input[0]: expected a path or URL with no other braces"),
    ("batch", {"batch.output": "s3://scores/{date}/{hour}"}, "batch.timeZone: expected Etc/UTC where"),
    (
        "batch-alone",
        {"batch.input": ["s3://data/{hour}/*"]},
        "batch.output: expected {hour} in it where batch.input has it",
    ),
    ("batch", {"batch.arguments": ["--output", "b"]}, "batch.arguments[0]: expected an option that the chart leaves"),
    (
        "batch",
        {"batch.arguments": ["--x", "--max-bad-frac=1"]},
        "batch.arguments[1]: expected an option that the chart",
    ),
    ("batch", {"batch.metrics": "push:9091"}, "batch.metrics: expected http:// or https:// of a push gateway"),
    ("batch", {"batch.metrics": "/data/a.prom"}, "batch.claim: expected the PersistentVolumeClaim for batch.metrics"),
    # Several jobs.
    ("batch", jobs({}), "batch.jobs: expected each name once, got a twice"),
    ("batch", jobs({"name": "B"}), "batch.jobs[1].name: expected lower case letters, digits and dashes"),
    ("batch", jobs({"name": "b-"}), "batch.jobs[1].name: expected lower case letters, digits and dashes"),
    ("batch", jobs({"name": ""}), "batch.jobs[1].name: expected a name"),
    ("batch", jobs({"name": "b" * 19}), "batch.jobs[1].name: expected at most 18 characters"),
    ("batch", jobs({"name": "b", "output": "s3://a/{date}/"}), "batch.jobs[1].output: expected a place of its own"),
    ("batch", jobs({"name": "b", "output": "s3://a/{year}-{month}-{day}"}), "batch.jobs[1].output: expected a place"),
    ("batch", jobs({"name": "b", "output": "s3://a/{date}/b"}), "batch.jobs[1].output: expected a place of its own"),
    ("batch", jobs({"name": "b", "schedule": "0 2 * *"}), "batch.jobs[1].schedule: expected five fields"),
    (
        "batch",
        jobs({"name": "b", "schedule": "TZ=UTC 0 2 * * *"}),
        "batch.jobs[1].schedule: expected five fields alone",
    ),
    ("batch", jobs({"name": "b", "timeZone": "UTC+2"}), "batch.jobs[1].timeZone: expected a name"),
    ("batch", jobs({"name": "b", "input": []}), "batch.jobs[1].input: expected at least one"),
    ("batch", jobs({"name": "b", "output": ""}), "batch.jobs[1].output: expected a path or URL with a date"),
    ("batch", jobs({"name": "b", "model": "s3://models/a.tar"}), "batch.jobs[1].model: expected the bundle's digest"),
    ("batch", jobs({"name": "b", "columns": ["a,b"]}), "batch.jobs[1].columns[0]: expected one column's name"),
    ("batch", jobs({"name": "b", "input": ["/data/*"]}), "batch.jobs[1].claim: expected the PersistentVolumeClaim"),
    ("batch", jobs({"name": "b", "tmpSize": "2X"}), "batch.jobs[1].tmpSize: expected"),
    ("batch", jobs({"name": "b", "sharedMemory": "6Gi"}), "batch.jobs[1].sharedMemory: expected less than"),
    ("batch", jobs({"name": "b", "environment": {"HOME": "/"}}), "batch.jobs[1].environment.HOME: expected"),
    (
        "batch",
        jobs({"name": "b", "workers": {"resources": {"requests": {"cpu": "99"}}}}),
        "batch.jobs[1].workers.resources.requests.cpu: expected at most",
    ),
    (
        "batch-alone",
        {"batch.model": "", **jobs()},
        "batch.jobs[0].model: expected a bundle where online is not enabled",
    ),
    (
        "batch-volume",
        {**jobs({"name": "b"}), "batch.metrics": "/data/a.prom", "networkPolicy.stores": [RULE]},
        "batch.jobs: expected each file of metrics once",
    ),
    (
        "default",
        {"batch.enabled": True, **jobs(), "networkPolicy.stores": []},
        "networkPolicy.stores: expected a rule that lets pods to batch.jobs[0].input[0], s3://in/{date}",
    ),
    ("batch", {"batch.columns": ["a,b"]}, "batch.columns[0]: expected one column's name"),
    ("batch", {"batch.columns": ["a", "a"]}, "batch.columns: expected each column once"),
    ("batch", {"batch.model": "s3://models/a.tar"}, "batch.model: expected the bundle's digest"),
    (
        "batch-volume",
        {"batch.claim": "", "batch.output": "s3://a/{date}", "networkPolicy.stores": [{"ports": [{"port": 443}]}]},
        "batch.claim: expected the PersistentVolumeClaim with",
    ),
    ("batch", {"batch.output": "/data/{date}"}, "batch.claim: expected the PersistentVolumeClaim for batch.output"),
    ("batch", {"batch.schedule": "0 2 * *"}, "batch.schedule: expected five fields"),
    ("batch", {"batch.schedule": "60 2 * * *"}, "batch.schedule: expected minutes"),
    ("batch", {"batch.schedule": "0 24 * * *"}, "batch.schedule: expected hours"),
    ("batch", {"batch.schedule": "0 2 0 * *"}, "batch.schedule: expected days of a month"),
    ("batch", {"batch.schedule": "0 2 * 13 *"}, "batch.schedule: expected months"),
    ("batch", {"batch.schedule": "0 2 * * 7"}, "batch.schedule: expected days of a week"),
    ("batch", {"batch.schedule": "*/0 2 * * *"}, "batch.schedule: expected minutes"),
    ("batch", {"batch.schedule": "0 22-2 * * *"}, "batch.schedule: expected hours"),
    ("batch", {"batch.schedule": "@nightly"}, "batch.schedule: expected five fields or one of"),
    ("batch", {"batch.schedule": "CRON_TZ=UTC 0 2 * * *"}, "batch.schedule: expected five fields alone"),
    ("batch", {"batch.timeZone": "Local"}, "batch.timeZone: expected a name"),
    ("batch", {"batch.timeZone": "UTC+2"}, "batch.timeZone: expected a name"),
    ("batch", {"batch.timeZone": "Europe/Berlim"}, "batch.timeZone: expected a name"),
    ("batch", {"batch.timeZone": "Central European Time"}, "batch.timeZone: expected a name"),
    (
        "batch",
        {"batch.workers.resources": resources(requests_cpu="8")},
        "batch.workers.resources.requests.cpu: expected at",
    ),
    # The stream.
    ("stream", {"stream.from": ""}, "stream.from: expected kafka://"),
    ("stream", {"stream.to": "kafka.events:9092/diagnoses"}, "stream.to: expected kafka://"),
    ("stream", {"stream.to": "kafka://kafka.events:9092/patients"}, "stream.to: expected another topic"),
    ("stream", {"stream.to": "kafka://other:9092/diagnoses"}, "stream.to: expected the brokers of stream.from"),
    (
        "stream",
        {"stream.deadLetter": "kafka://kafka.events:9092/diagnoses"},
        "stream.deadLetter: expected another topic",
    ),
    (
        "hub-postgres",
        {"hub.forward": "kafka://kafka.events:92092/edge"},
        "hub.forward: expected a port from 1 to 65535",
    ),
    ("stream", {"stream.model": {"url": URL, "image": "a:1"}}, "stream.model: expected a url or an image"),
    ("stream", {"stream.kafka.username": "a"}, "stream.kafka.password.secret: expected the Secret"),
    ("stream", {"stream.kafka.password.secret": "a"}, "stream.kafka.username: expected whose password"),
    ("stream", {"stream.kafka.mechanism": "PLAIN"}, "stream.kafka.username: expected who asks"),
    ("stream", {"stream.kafka.protocol": "sasl_ssl"}, "stream.kafka.username: expected who asks"),
    ("stream-image", {"stream.kafka.protocol": "ssl"}, "stream.kafka.protocol: expected sasl_ssl"),
    (
        "stream",
        {"stream.kafka": {"protocol": "plaintext", "ca": {"secret": "a"}}},
        "stream.kafka.protocol: expected ssl or sasl_ssl where there is a stream.kafka.ca",
    ),
    (
        "stream-scaled",
        {"stream.kafka.tokenUrl": "", "stream.kafka.tokenScope": ""},
        "stream.kafka.tokenUrl: expected where",
    ),
    ("stream-scaled", {"stream.kafka.mechanism": "PLAIN"}, "stream.kafka.mechanism: expected OAUTHBEARER"),
    ("stream-scaled", {"stream.kafka.tokenUrl": "http://a/token"}, "stream.kafka.tokenUrl: expected https://"),
    ("stream-scaled", {"stream.autoscaling.max": 13}, "stream.autoscaling.max: expected at most the 12 partitions"),
    (
        "stream-scaled",
        {"stream.autoscaling.min": 13},
        "stream.autoscaling.min: expected at most stream.autoscaling.max",
    ),
    ("stream-registry", {"stream.registry.url": "https://a:b@registry"}, "stream.registry.url: expected https://HOST"),
    ("stream-registry", {"stream.registry.url": ""}, "stream.registry.url: expected the registry"),
    (
        "stream-registry",
        {"stream.registry.url": "http://registry"},
        "stream.registry.url: expected https://, which nobody",
    ),
    (
        "stream-registry",
        {"stream.registry.username": ""},
        "stream.registry.username, stream.registry.password.secret: expected both",
    ),
    (
        "stream-registry",
        {"stream.registry.token.secret": "a"},
        "stream.registry.username, stream.registry.token.secret: expected one",
    ),
    # The hub.
    ("hub-postgres", {"hub.database.url": ""}, "hub.database.url: expected the Postgres"),
    ("hub-postgres", {"hub.database.url": "mysql://hub@db/hub"}, "hub.database.url: expected postgres://"),
    ("hub-postgres", {"hub.database.url": "postgres://hub:secret@db/hub"}, "hub.database.url: expected no password"),
    ("hub", {"hub.corsOrigins": ["https://ward.example/page"]}, "hub.corsOrigins[0]: expected an origin"),
    # The gateway and its certificates.
    ("existing-gateway", {"gateway.existing.name": ""}, "gateway.existing.name: expected the Gateway whose namespace"),
    ("existing-gateway", {"gateway.enabled": False}, "gateway.enabled: expected true"),
    ("default", {"gateway.hostnames": ["a.example", "a.example"]}, "gateway.hostnames: expected each host once"),
    ("default", {"gateway.hostnames": ["https://a.example"]}, "gateway.hostnames[0]: expected a host's name"),
    ("default", {"tls.source": "secret"}, "tls.secret: expected the Secret"),
    ("default", {"tls.secret": "mine"}, "tls.source: expected secret or certManager"),
    ("cert-manager", {"tls.issuer.name": ""}, "tls.issuer.name: expected cert-manager's issuer"),
    ("cert-manager", {"tls.source": "selfSigned"}, "tls.source: expected certManager"),
    ("cert-manager", {"gateway.hostnames": []}, "gateway.hostnames: cert-manager needs at least one"),
    # gRPC beside REST.
    ("default", {"gateway.grpc.route": "GRPCRoute"}, "gateway.grpc: expected hostnames or a port that is not REST's"),
    (
        "default",
        {"gateway.grpc.route": "GRPCRoute", "gateway.grpc.port": 8443},
        "gateway.grpc: expected hostnames or a port that is not REST's",
    ),
    ("grpc-host", {"gateway.hostnames": []}, "gateway.hostnames: expected REST's hosts where gateway.grpc.hostnames"),
    (
        "grpc-host",
        {"gateway.grpc.hostnames": ["scores.example"]},
        "gateway.grpc.hostnames[0]: expected a host that is not REST's",
    ),
    (
        "grpc-host",
        {"gateway.hostnames": ["*.scores.example"]},
        "gateway.grpc.hostnames[0]: expected a host that is not REST's",
    ),
    (
        "grpc-host",
        {"gateway.grpc.hostnames": ["*.example"]},
        "gateway.grpc.hostnames[0]: expected a host that is not REST's",
    ),
    ("grpc-host", {"gateway.grpc.hostnames": ["A.example"]}, "gateway.grpc.hostnames[0]: expected a host's name"),
    ("grpc-host", {"gateway.grpc.hostnames": ["g", "g"]}, "gateway.grpc.hostnames: expected each host once"),
    ("grpc-host", {"gateway.grpc.sectionName": "grpc"}, "gateway.grpc.sectionName: expected none without"),
    ("grpc-host", {"gateway.grpc.route": "HTTPRoute"}, "gateway.grpc.route: expected GRPCRoute where there is a"),
    ("default", {"gateway.grpc.port": 9443}, "gateway.grpc.route: expected GRPCRoute where there is a"),
    ("grpc-listener", {"gateway.grpc.port": 9443}, "gateway.grpc.port: expected none where gateway.existing names"),
    ("grpc-listener", {"gateway.grpc.sectionName": ""}, "gateway.grpc: expected hostnames or a sectionName"),
    ("grpc-listener", {"gateway.grpc.sectionName": "https"}, "gateway.grpc: expected hostnames or a sectionName"),
    ("grpc-listener", {"gateway.existing.sectionName": ""}, "gateway.existing.sectionName: expected REST's listener"),
    # Addresses.
    ("dual-stack", {"network.bind": "0.0.0.0"}, 'network.bind: expected "::" where network.ipFamilies has IPv6'),
    ("default", {"network.ipFamilyPolicy": "RequireDualStack"}, 'network.bind: expected "::" where'),
    ("dual-stack", {"network.ipFamilyPolicy": ""}, "network.ipFamilyPolicy: expected PreferDualStack"),
    ("dual-stack", {"network.ipFamilies": ["IPv6", "IPv6"]}, "network.ipFamilies: expected each family once"),
    ("dual-stack", {"networkPolicy.dnsPorts": [53, 53]}, "networkPolicy.dnsPorts: expected each port once"),
    ("own-secrets", {"networkPolicy.kubernetesApi": []}, "networkPolicy.kubernetesApi: expected a rule"),
    ("upstream-tls", {"tls.upstream.secret": ""}, "tls.upstream.secret: expected the Secret"),
    ("upstream-tls", {"tls.upstream.authority": ""}, "tls.upstream.authority: expected the ConfigMap"),
    # Pods.
    ("default", {"scheduling.nodeSelector": {"pool": "a b"}}, "scheduling.nodeSelector.pool: expected letters"),
    ("default", {"podLabels": {"-team": "a"}}, "podLabels: expected a label's name"),
    (
        "default",
        {"scheduling.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        "scheduling.tolerations[0].value: expected none",
    ),
    ("default", {"jobs.tolerations": [{"value": "b"}]}, "jobs.tolerations[0].key: expected one, or operator Exists"),
    (
        "default",
        {"online.workers.tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]},
        "online.workers.tolerations[0].effect: expected NoExecute",
    ),
    (
        "default",
        {"online.workers.pod.containers": [{"name": "ray-worker", "image": "a:1"}]},
        "online.workers.pod.containers: expected each name of a container once",
    ),
    (
        "default",
        {"online.environment": {"RAY_AUTH_MODE": "none"}},
        "online.environment.RAY_AUTH_MODE: expected a variable that",
    ),
    (
        "default",
        {"online.head.pod.env": [{"name": "HOME", "value": "/"}]},
        "online.head.pod.env[0].name: expected a variable",
    ),
    (
        "default",
        {"online.environment": {"A": "1"}, "online.workers.pod.env": [{"name": "A", "value": "2"}]},
        "online.workers.pod.env: expected each variable",
    ),
    (
        "default",
        {"jobs.pod.env": [{"name": "A", "value": "2", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]},
        "jobs.pod.env[0]: expected value or valueFrom",
    ),
    ("stream", {"stream.environment": {"A B": "1"}}, "stream.environment: expected a variable's name"),
    (
        "default",
        {"online.workers.pod.volumes": [{"name": "tmp", "emptyDir": {}}]},
        "online.workers.pod.volumes[0].name: expected",
    ),
    (
        "hub",
        {"hub.pod.volumeMounts": [{"name": "a", "mountPath": "/a"}]},
        "hub.pod.volumeMounts[0].name: expected one of",
    ),
    (
        "default",
        {
            "gate.pod": {
                "volumes": [{"name": "a", "emptyDir": {}}],
                "volumeMounts": [{"name": "a", "mountPath": "/tmp/"}],
            }
        },
        "gate.pod.volumeMounts[0].mountPath: expected a place",
    ),
    ("default", {"podSecurityContext.runAsUser": 0}, "podSecurityContext.runAsUser: expected another id"),
    ("default", {"containerSecurityContext.privileged": True}, "containerSecurityContext.privileged: expected false"),
    ("openshift", {"caBundle.configMap": "a"}, "caBundle: expected a configMap or a secret"),
    ("corporate", {"proxy.https": "proxy.example"}, "proxy.https: expected http://HOST:PORT"),
    # The network.
    ("corporate", {"networkPolicy.proxy": []}, "networkPolicy.proxy: expected a rule"),
    ("stream", {"networkPolicy.brokers": []}, "networkPolicy.brokers: expected a rule that lets workers"),
    ("stream-registry", {"networkPolicy.registry": [], **NO_STORES}, "networkPolicy.registry: expected"),
    ("hub-postgres", {"networkPolicy.database": []}, "networkPolicy.database: expected a rule"),
    ("hub-postgres", {"networkPolicy.brokers": []}, "networkPolicy.brokers: expected a rule that lets the hub"),
    ("oidc", {"networkPolicy.issuer": [], **NO_STORES}, "networkPolicy.issuer: expected a rule"),
    ("autoscale", {"networkPolicy.redis": []}, "networkPolicy.redis: expected a rule"),
    ("default", {"networkPolicy.kubernetesApi": []}, "networkPolicy.kubernetesApi: expected a rule"),
    (
        "default",
        {"networkPolicy.stores": [{"ports": [{"port": 0}]}]},
        "networkPolicy.stores[0].ports[0].port: expected a port",
    ),
    (
        "default",
        {"networkPolicy.stores": [{"ports": [{"port": "443"}]}]},
        "networkPolicy.stores[0].ports[0].port: expected a number",
    ),
    (
        "default",
        {"networkPolicy.stores": [{"ports": [{"port": 443, "endPort": 80}]}]},
        "networkPolicy.stores[0].ports[0].endPort: expected at least port",
    ),
    (
        "default",
        {"networkPolicy.stores": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}}]}]},
        "networkPolicy.stores[0].to[0].ipBlock.except: expected blocks within 10.0.0.0/8",
    ),
]
"""A scenario that is right, what is changed in it, and how the sentence begins."""

BY_SCHEMA: list[tuple[dict[str, Any], str]] = [
    ({"online.replicas.min": "two"}, "'/online/replicas/min': got string, want integer"),
    ({"online.drainSeconds": 30}, "'/online/drainSeconds': minimum"),
    ({"gateway.port": 70000}, "'/gateway/port': maximum: got 70,000, want 65,535"),
    ({"gateway.port": 0}, "'/gateway/port': minimum"),
    ({"networkPolicy.callers": []}, "'/networkPolicy/callers': minItems"),
    ({"networkPolicy.dns": []}, "'/networkPolicy/dns': minItems"),
    ({"tls.selfSignedFor": []}, "'/tls/selfSignedFor': minItems"),
    ({"tls.source": "letsEncrypt"}, "'/tls/source': value must be one of 'selfSigned', 'certManager', 'secret'"),
    ({"batch.format": "xlsx"}, "'/batch/format': value must be one of 'parquet', 'csv', 'jsonl'"),
    ({"batch.maxBadFraction": 2}, "'/batch/maxBadFraction': maximum"),
    ({"monitoring.objective.seconds": 0.3}, "'/monitoring/objective/seconds': value must be one of"),
    ({"online.replica": 2}, "value must be one of 'enabled', 'models'"),
    ({"scheduling.nodeselector": {}}, "value must be one of 'nodeSelector'"),
    ({"online.workers.pod.toleration": []}, "'/online/workers/pod': additional properties 'toleration' not allowed"),
    ({"podLabels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name"),
    ({"podAnnotations": {"ray.io/overwrite-container-cmd": "false"}}, "ray.io/overwrite-container-cmd"),
]
"""What one value alone cannot be, on the scenario `default`: Helm's own sentence, with the path as a pointer."""


@cache
def _scenario(name: str) -> str:
    return (CHART / "ci" / f"{name}.yaml").read_text()


def changed(scenario: str, change: dict[str, Any]) -> str:
    """The scenario's values with others at those paths; a mapping is added to what is there."""
    values = yaml.safe_load(_scenario(scenario))
    for path, value in change.items():
        *parents, last = path.split(".")
        at = values
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = {**at.get(last, {}), **value} if isinstance(value, dict) else value
    return yaml.safe_dump(values)


@pytest.mark.parametrize(("scenario", "change", "sentence"), WRONG, ids=[case[2][:60] for case in WRONG])
def test_what_cannot_be_meant_is_said_in_one_sentence(scenario: str, change: dict[str, Any], sentence: str) -> None:
    """One, and nothing else; the scenario without the change renders, as other tests see."""
    done = template(changed(scenario, change))
    _, _, said = done.stderr.partition("values.yaml:")
    _, *lines = said.strip().splitlines() or [""]
    lines = [line for line in lines if line and not line.startswith("Use --debug")]

    assert done.returncode != 0
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(sentence)


@pytest.mark.parametrize(("change", "words"), BY_SCHEMA, ids=[next(iter(case[0])) for case in BY_SCHEMA])
def test_what_one_value_cannot_be_is_refused_by_its_path(change: dict[str, Any], words: str) -> None:
    """By the schema, before any template; editors say the same."""
    done = template(changed("default", change))

    assert done.returncode != 0
    assert words in done.stderr


def test_all_is_said_at_once() -> None:
    """Who has three things to mend need not try three times."""
    done = template(changed("default", {"image.tag": "latest", "online.replicas.min": 3, "tls.source": "secret"}))

    assert all(word in done.stderr for word in ("image.tag:", "online.replicas.min:", "tls.secret:"))


@pytest.mark.parametrize("section", ["scheduling", "proxy", "caBundle", "jobs"])
def test_defaults_of_a_chart_before_are_named_as_that(section: str) -> None:
    """As `helm upgrade --reuse-values` has them: without the sections that are new."""
    done = template(changed("default", {section: None}))

    assert done.returncode != 0
    assert f"{section}: expected a mapping, got none" in done.stderr
    assert "--reset-then-reuse-values" in done.stderr


def test_a_password_is_not_repeated() -> None:
    """Neither the database's nor the proxy's."""
    changes = [
        ("hub-postgres", {"hub.database.url": "postgres://hub:s3cret@db/hub"}),
        ("corporate", {"proxy.https": "http://me:s3cret@proxy.example:3128"}),
    ]
    for scenario, change in changes:
        done = template(changed(scenario, change))

        assert done.returncode != 0
        assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    "schedule",
    ["*/5 * * * *", "0 2 * * 1-5", "0,30 8-18/2 1,15 JAN-MAR sun", "@daily", "59 23 31 12 6", "5/15 0 ? * MON,WED"],
)
def test_schedules_that_kubernetes_takes_are_taken(schedule: str) -> None:
    """Steps, ranges, lists and names."""
    done = template(changed("batch", {"batch.schedule": schedule}))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("replicas", "workers"),
    [
        ({"min": 1, "max": 30, "perWorker": 10, "cpus": 0.1}, {"count": 3, "cpus": 1}),
        ({"min": 1, "max": 9, "perWorker": 3, "cpus": 0.3333}, {"count": 3, "cpus": 1}),
        ({"min": 1, "max": 4, "perWorker": 2, "cpus": 2}, {"count": 1, "maxCount": 2, "cpus": 4}),
    ],
)
def test_replicas_that_workers_can_hold_are_taken(replicas: dict[str, Any], workers: dict[str, Any]) -> None:
    """Fractions of cores add up without a float's doubt."""
    done = template(changed("default", {"online.replicas": replicas, "online.workers": workers}))

    assert done.returncode == 0, done.stderr
