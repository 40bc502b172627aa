"""A release by Helm, Argo CD and Flux: the same objects whoever renders, in an order that finds what it needs."""

from __future__ import annotations

import re

import pytest

from tests.chart import sequences
from tests.chart.rendering import CHART, SCENARIOS, Release, template

FIRST = {"helm install": ("pre-install",), "helm upgrade": ("pre-upgrade",), "Argo CD": ("pre-install", "pre-upgrade")}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_upgrade_renders_what_an_install_does(scenario: str) -> None:
    """Nothing is looked up, drawn or counted, so who renders without a cluster gets the same at any time."""
    values = (CHART / "ci" / f"{scenario}.yaml").read_text()

    assert template(values).stdout == template(values, "--is-upgrade").stdout


def test_no_template_asks_for_what_changes_by_itself() -> None:
    """Neither the cluster, nor chance, nor the clock, nor which revision this is."""
    words = re.compile(r"\b(lookup|rand\w+|gen\w+(Cert|CA|Key)\w*|uuidv4|now|htpasswd|IsInstall|IsUpgrade|Revision)\b")
    found = [
        f"{path.name}: {line.strip()}"
        for path in (CHART / "templates").rglob("*.*")
        for line in path.read_text().splitlines()
        for code in re.findall(r"\{\{-? (?!/\*)(.*?)\}\}", line)
        if words.search(re.sub(r'"[^"]*"', "", code)) and not code.startswith("fail")
    ]

    assert found == []


def ours(item: sequences.Object) -> list[sequences.Name]:
    """What an object needs of the release's own: names that begin as the release's do."""
    return [name for name in sequences.needs(item) if name[1].startswith("fivefold")]


@pytest.mark.parametrize("way", FIRST)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_everything_finds_what_it_needs(scenario: str, way: str) -> None:
    """On an empty namespace, hooks before all else: no hook needs what comes after it, and nothing what never comes."""
    release = Release(scenario)
    hooks = sequences.hooks(release, *FIRST[way])
    after = {sequences.name_of(item) for item in sequences.plain(release)}
    there: set[sequences.Name] = set()
    for item in hooks:
        assert [name for name in ours(item) if name not in there] == [], sequences.name_of(item)
        there |= {sequences.name_of(item), *sequences.secrets_made(item)}
    if way == "helm upgrade":
        there |= {made for item in sequences.hooks(release, "pre-install") for made in sequences.secrets_made(item)}
    for item in sequences.plain(release):
        assert [name for name in ours(item) if name not in there | after] == [], sequences.name_of(item)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_hooks_are_cleared_away_and_made_anew(scenario: str) -> None:
    """One that stays would be another release's, and one that is not deleted first could not be changed."""
    for item in Release(scenario).objects:
        if events := sequences.events(item):
            policies = item["metadata"]["annotations"]["helm.sh/hook-delete-policy"].split(",")
            assert "before-hook-creation" in policies, sequences.name_of(item)
            assert ("hook-succeeded" in policies) == ("test" not in events), sequences.name_of(item)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_object_is_a_hook_and_something_else(scenario: str) -> None:
    """A hook is deleted when it has done its work, and would take the other one with it."""
    release = Release(scenario)
    hooks = {sequences.name_of(item) for item in release.objects if sequences.events(item)}

    assert not hooks & {sequences.name_of(item) for item in sequences.plain(release)}
    for item in sequences.plain(release):
        assert not hooks & set(sequences.needs(item)), sequences.name_of(item)


def test_the_gate_may_read_its_own_rayservice_and_nothing_else() -> None:
    """It asks whether anything has ever been served; bundles it reads under the identity of workers."""
    release = Release("gate")
    (rule,) = release.one("Role", "fivefold-gate")["rules"]
    mine = {"apiGroups": ["ray.io"], "resources": ["rayservices"], "resourceNames": ["fivefold"]}
    gate = release.one("Job", "fivefold-gate")["spec"]["template"]["spec"]

    assert rule == mine | {"verbs": ["get"]}
    assert gate["serviceAccountName"] == "fivefold-gate"
    assert "--rayservice=fivefold" in gate["containers"][0]["args"]


def test_the_gates_account_has_the_identity_of_workers_unless_values_say_otherwise() -> None:
    """Cloud roles are bound to an account by its annotation."""
    values = {
        "online": {
            "models": [{"url": f"s3://m/a.tar#sha256={'a' * 64}"}],
            "workers": {"accountAnnotations": {"eks.amazonaws.com/role-arn": "arn:workers"}},
        },
        "networkPolicy": {"stores": [{"ports": [{"protocol": "TCP", "port": 443}]}]},
    }
    roles = []
    for gate in ({}, {"accountAnnotations": {"eks.amazonaws.com/role-arn": "arn:gate"}}):
        account = Release.of_values(values | {"gate": gate}).one("ServiceAccount", "fivefold-gate")
        roles.append(account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"])

    assert roles == ["arn:workers", "arn:gate"]
