"""A hub that prunes by itself: at its start and every hour, what was forwarded and is old enough.

What may go is `pruning`'s; a hub that forwards nothing has nothing that may.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from fivefold.core.errors import FivefoldError
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import milliseconds
from fivefold.edge.hub.pruning import forwarded_position, prune

EVERY_SECONDS: Final = 3600.0
PAUSE_SECONDS: Final = 0.05
"""Between two transactions, so that devices' own come in between."""

_log = logging.getLogger(__name__)


class PruneLoop:
    """Prunes from its construction to `close`, in a thread of its own."""

    def __init__(self, database: HubDatabase, keep_milliseconds: int, every_seconds: float = EVERY_SECONDS) -> None:
        """Events stay for `keep_milliseconds` from when they were received."""
        self._database, self._keep, self._every = database, keep_milliseconds, every_seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fivefold-hub-prune", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the transaction that is under way."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._prune()
            except FivefoldError as err:
                # What is too old now still is an hour later.
                _log.error("old events were not pruned: %s", err)
            except Exception:
                _log.exception("old events were not pruned")
            if self._ending.wait(self._every):
                return

    def _prune(self) -> None:
        with self._database.reading() as connection:
            if not forwarded_position(connection):
                return
        before = milliseconds() - self._keep
        count = prune(self._database, before=before, go_on=lambda: not self._ending.wait(PAUSE_SECONDS))
        if count:
            _log.info("%d events pruned: forwarded, and received more than %d ms ago", count, self._keep)
