"""Whether a worker's bundle answers the contract versions that the group's results are of so far.

A worker of another bundle takes over where the last one stopped, without anybody to ask: events of a version that it
does not answer would become dead letters one after the other. So it looks at the last results before its first event.
What a change of a version means to callers is `fivefold check`'s matter, before anything is released.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fivefold.core.errors import AccessError, NotFound, ProtocolError, Unavailable
from fivefold.core.view import Views
from fivefold.stream.events import Event, header
from fivefold.stream.identity import PREFIX

LAST: Final = 64
"""Results of each partition that are looked at."""


def refuse_fewer_versions(latest: Callable[[], Iterable[Event]], views: Views, say: Callable[[str], None]) -> None:
    """Raise `ProtocolError` `contract_unsupported` where results are of a version that is not among the views.

    `latest` reads the last results; `say` hears where that cannot be done, as by a worker that may only write them.
    Results of other contracts are somebody else's.
    """
    try:
        found = {header(event.headers, f"{PREFIX}contract") for event in latest()}
    except NotFound:
        return  # the first worker makes the topic
    except (AccessError, Unavailable) as error:
        say(f"which contract versions the results are of is not known: {error}")
        return
    name = views.own.contract.name
    known = {view.name for view in views.values()}
    asked = sorted(text for text in (each.decode("utf-8", "replace") for each in found if each) if text not in known)
    missing = next((text for text in asked if text.partition("@")[0] == name), None)
    if missing is not None:
        raise ProtocolError(
            "contract_unsupported",
            f"results are of {missing} so far, and this bundle answers {', '.join(views)}: events of that version "
            "would become dead letters",
            help="fivefold bundle answer BUNDLE --answers OLD, or, if none will come: --accept-contract-change",
        )
