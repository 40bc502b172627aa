"""What is served now, told to another process."""

import json
from pathlib import Path

from tests.support.bundles import SUM_CONTRACT, write_sum

from fivefold.core.runtime.scorer import Scorer
from fivefold.release.succession_gate import Accepted, Live, judge_release
from fivefold.serving.repository import Model, Repository


def test_what_is_served_survives_the_way_as_json(tmp_path: Path) -> None:
    """And is judged alike: the same model breaks nobody, without it one is missing."""
    bundle = write_sum(tmp_path / "sum")
    with Scorer.open(bundle) as scorer:
        models = Repository([Model(bundle, scorer)])
    live = Live.from_json(json.loads(json.dumps(Live.of(models).to_json())))

    assert live == Live.of(models)
    assert live.models["demo"][None].default == live.models["demo"]["1"].default == SUM_CONTRACT
    assert {finding.verdict for finding in judge_release(live, models, Accepted())} == {"ok"}
    assert [finding.says for finding in judge_release(live, Repository([]), Accepted())] == [
        "is served, the release does not have it"
    ]
