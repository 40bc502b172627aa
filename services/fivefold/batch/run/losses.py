"""Workers that die: how often over what, and when a fragment that kills them is given up.

A fragment comes back until it has had its attempts; the last one is made when nobody else works, after all others, so
that whoever dies then has died of this fragment and of no other one's use of the machine. Starting workers is left to
`actors`.
"""

from __future__ import annotations

from collections import Counter, deque

from fivefold.batch.plan.planning import Fragment
from fivefold.core.errors import RunFailed


class Losses:
    """The deaths of one start of a run; `attempts` workers may die over one fragment."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._times: Counter[str] = Counter()
        self.suspects: deque[Fragment] = deque()
        """Fragments that wait for their last attempt."""

    def attempt(self, fragment: Fragment) -> int:
        """Which attempt the fragment's next one is, from 1."""
        return self._times[fragment.id] + 1

    def count(self, fragment: Fragment | None) -> int:
        """A worker has died over a fragment, or before it had one; how many have."""
        key = fragment.id if fragment else ""
        self._times[key] += 1
        return self._times[key]

    def come_back(self, fragment: Fragment | None, waiting: deque[Fragment]) -> None:
        """Let a fragment wait again, first or last. Raises `RunFailed` `worker_lost` where it is given up."""
        lost = self._times[fragment.id if fragment else ""]
        workers = "1 worker" if lost == 1 else f"{lost} workers"
        if lost >= self._attempts and fragment is None:
            raise RunFailed(
                "worker_lost",
                f"{workers} died over the model, while it was opened",
                help="a model that ends its process, or needs more memory than there is, cannot be run",
            )
        if fragment is None:
            return
        if lost >= self._attempts:
            alone = "; all other fragments are finished and stay" if self._attempts > 1 else ""
            raise RunFailed(
                "worker_lost",
                f"{workers} died over {fragment.name}",
                path=fragment.source.url,
                help="the file or the model ends the process, or needs more memory than there is: a smaller "
                f"FIVEFOLD_CHUNK_ROWS or fewer --workers{alone}",
            )
        if lost == self._attempts - 1:
            self.suspects.append(fragment)
        else:
            waiting.appendleft(fragment)
