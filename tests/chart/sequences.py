"""A release as a sequence of applies, by Helm and by Argo CD: what each object needs has to be there before it.

Helm runs hooks of an event by their weight, then applies the rest. Argo CD takes `pre-install` and `pre-upgrade` alike
for its PreSync, so both run before its first sync; it knows nothing of Helm's tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.chart.rendering import Release

Object = Mapping[str, Any]
Name = tuple[str, str]
KINDS = ("NetworkPolicy", "ServiceAccount", "Role", "RoleBinding")
"""In the order in which both apply kinds of one weight that hooks have here; others follow."""


def name_of(item: Object) -> Name:
    """Kind and name."""
    return item["kind"], item["metadata"]["name"]


def events(item: Object) -> set[str]:
    """The events that an object is a hook of."""
    said = item["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    return {event.strip() for event in said.split(",") if event}


def hooks(release: Release, *wanted: str) -> list[Object]:
    """The hooks of some events, in the order in which they run."""
    found = [item for item in release.objects if events(item) & set(wanted)]

    def place(item: Object) -> tuple[int, int, str]:
        kind = item["kind"]
        order = KINDS.index(kind) if kind in KINDS else len(KINDS)
        return int(item["metadata"]["annotations"].get("helm.sh/hook-weight", 0)), order, item["metadata"]["name"]

    return sorted(found, key=place)


def plain(release: Release) -> list[Object]:
    """What is applied after the hooks."""
    return [item for item in release.objects if not events(item)]


def needs(item: Object) -> Iterator[Name]:
    """The objects of the release's own that must be there for this one to do its work: it could not start without."""
    if item["kind"] == "RoleBinding":
        yield item["roleRef"]["kind"], item["roleRef"]["name"]
        for subject in item["subjects"]:
            yield subject["kind"], subject["name"]
    for pod in _pods(item):
        yield "ServiceAccount", pod.get("serviceAccountName", "default")
        for volume in pod.get("volumes", []):
            if "secret" in volume:
                yield "Secret", volume["secret"]["secretName"]
            if "configMap" in volume:
                yield "ConfigMap", volume["configMap"]["name"]
            for source in volume.get("projected", {}).get("sources", []):
                yield "Secret", source["secret"]["name"]
        for container in pod["containers"]:
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference and not reference.get("optional"):
                    yield "Secret", reference["name"]


def _pods(item: Object) -> Sequence[Object]:
    if item["kind"] in ("Job", "StatefulSet", "Deployment"):
        return [item["spec"]["template"]["spec"]]
    if item["kind"] == "CronJob":
        return [item["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
    if item["kind"] == "RayService":
        cluster = item["spec"]["rayClusterConfig"]
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        return [group["template"]["spec"] for group in groups]
    return []


def secrets_made(item: Object) -> list[Name]:
    """The Secrets that are there once this object's work is done."""
    if item["kind"] != "Job" or not item["metadata"]["name"].endswith("-secrets"):
        return []
    container = item["spec"]["template"]["spec"]["containers"][0]
    arguments = container["args"]
    name = next(word for word in arguments if word.startswith("--name=")).removeprefix("--name=")
    made = []
    if "--no-keys" not in arguments:
        made += ["api-keys", "api-key"]
    if "--caller-key" in arguments:
        made += ["caller-keys", "caller-key"]
    if "--no-token" not in arguments:
        made.append("ray-token")
    if any(word.startswith("--host=") for word in arguments):
        made.append("tls")
    return [("Secret", f"{name}-{each}") for each in made]
