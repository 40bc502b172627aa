"""The child's side of `examiner`: whether an archive is the bundle that a release names, works here, and breaks nobody.

Run as `python -m fivefold.edge.updates.examination ANSWER`, where ANSWER is the descriptor of a pipe: one JSON object
on the standard input says what to look at, one goes to the pipe. All that reads a new archive, or runs its code, runs
here, so that whatever it does ends this process and nothing else. Limits of time and memory are the parent's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, FivefoldError, ProtocolError
from fivefold.core.runtime.scorer import Scorer
from fivefold.local.processes import die_with_parent


def examine_bundle(
    archive: Path, *, model: str, version: str, digest: str, bundle_keys: Sequence[str], current: Path | None
) -> None:
    """Open the archive, hold it against the release and the bundle served now, and prove its golden answers.

    `bundle_keys` are PEM texts: with them the bundle has to be signed by one. `current` is the bundle whose callers may
    lose nothing, None where they may. Raises `BundleInvalid` and `ProtocolError` `contract_unsupported`.
    """
    bundle = Bundle.open(archive, public_keys=bundle_keys)
    for what, wanted, got in (
        ("model", model, bundle.name),
        ("version", version, bundle.version),
        ("bundle", digest, f"sha256:{bundle.digest}"),
    ):
        if wanted != got:
            raise BundleInvalid(f"the release names the {what} {wanted}, its archive holds {got}")
    if "gateway" not in bundle.manifest.targets:
        raise BundleInvalid(f"the bundle is for {', '.join(bundle.manifest.targets)}, not for a gateway")
    served = None if current is None else _served(current)
    if served is not None:
        # Only here: judging contracts takes memory that a process without an older bundle need not spend.
        from fivefold.evolution.succession import first_break

        broken = first_break(served.views, bundle.views)
        if broken is not None:
            raise ProtocolError(
                "contract_unsupported",
                f"the contract changes: {broken}",
                help="fivefold pack --answers OLD, or, where callers are ready, let the device accept it",
            )
    Scorer.open(bundle).close()


def _served(place: Path) -> Bundle | None:
    """The bundle served now; None for one that is broken, which is no reason to keep its successor away."""
    try:
        return Bundle.open(place)
    except BundleInvalid:
        return None


def main(arguments: Sequence[str]) -> int:
    """Read what to look at, look, and answer."""
    die_with_parent()
    # Before the model: the kernel, when memory runs out, takes this process and not the one that serves.
    _offer_to_kernel()
    asked: Mapping[str, Any] = json.loads(sys.stdin.buffer.readline())
    with os.fdopen(int(arguments[0]), "wb") as out:
        try:
            examine_bundle(
                Path(asked["archive"]),
                model=asked["model"],
                version=asked["version"],
                digest=asked["digest"],
                bundle_keys=asked["bundle_keys"],
                current=None if asked["current"] is None else Path(asked["current"]),
            )
        except FivefoldError as err:
            answer = {"code": err.code, "message": err.message, "path": err.path, "help": err.help}
        else:
            answer = {"code": None}
        out.write(json.dumps({**answer, "nonce": asked["nonce"]}).encode() + b"\n")
    # What the model's code has started, or registered for the end of the program, is none of this answer.
    os._exit(0)


def _offer_to_kernel() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
        os.nice(10)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
