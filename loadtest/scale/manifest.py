"""What the chart renders for many models, beside what Kubernetes and Helm take.

An object in etcd has at most 1.5 MiB, a Secret or ConfigMap 1 MiB, and Helm keeps a release, compressed and in Base64,
in one Secret.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.machine.measurement import Failed, NotMeasured, say
from loadtest.machine.programs import ROOT

COUNTS: Final = (1, 10, 100, 1_000)
MODEL: Final = "s3://models/team/model-{at:04}/1.0.{at}/bundle.tar#sha256={digest}"


@dataclass(frozen=True)
class RenderedSize:
    """Of a release with so many models, in bytes: everything rendered, its largest object, and about what Helm's own
    Secret of it holds."""

    models: int
    rendered: int
    largest: int
    kind: str
    release: int


def measure(directory: Path, counts: Sequence[int] = COUNTS) -> list[RenderedSize]:
    """Render the chart for each of the counts; raises `NotMeasured` without helm."""
    built = ROOT / ".cache" / "bin" / "helm"
    helm = str(built) if built.is_file() else shutil.which("helm")
    if helm is None:
        raise NotMeasured("helm is not installed", "make .cache/bin/helm, or install it")
    return [_measure(helm, directory, count) for count in counts]


def _measure(helm: str, directory: Path, count: int) -> RenderedSize:
    values = directory / f"values-{count}.json"
    models = [{"url": MODEL.format(at=at, digest=f"{at:064x}")} for at in range(count)]
    given = {
        "online": {"models": models},
        "networkPolicy": {"stores": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]}]},
    }
    values.write_text(json.dumps(given))
    program = [helm, "template", "scores", str(ROOT / "helm" / "fivefold"), "--values", str(values)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"helm refuses {count} models:\n{done.stderr[-1500:]}")
    objects = [each for each in re.split(r"(?m)^---$", done.stdout) if each.strip()]
    largest = max(objects, key=len)
    kind = re.search(r"(?m)^kind: (\w+)", largest)
    cost = RenderedSize(count, len(done.stdout), len(largest), kind[1] if kind else "?", _release(done.stdout, given))
    say(f"{count:,} models: {cost.rendered:,} bytes rendered, the largest a {cost.kind} of {cost.largest:,}")
    return cost


def _release(manifest: str, values: object) -> int:
    """Helm's record: manifest, values and the chart's own files, as JSON, compressed, in Base64 twice: its own and the
    Secret's."""
    chart = [path for path in (ROOT / "helm" / "fivefold").rglob("*") if path.is_file() and "ci" not in path.parts]
    files = {str(path): base64.b64encode(path.read_bytes()).decode() for path in chart}
    record = json.dumps({"manifest": manifest, "config": values, "chart": {"templates": files}}).encode()
    return len(base64.b64encode(base64.b64encode(gzip.compress(record, 9))))
