"""What the commands say of an outbox, while a gateway has it open and when none has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fivefold.core.errors import NotFound, RunFailed
from fivefold.edge.outbox import Outbox, inspection


def test_status_and_show_read_what_a_gateway_has_open(tmp_path: Path) -> None:
    """The same as the gateway's own, and nothing is changed by it."""
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, quota_bytes=10**6) as outbox:
        outbox.append("bulk", [(f"id-{at}", b'{"n":%d}' % at) for at in range(450)])
        outbox.append("alerts", [("an-alert", b"{}")])

        assert inspection.status(path).lanes == outbox.status().lanes
        assert inspection.status(path).id == outbox.id
        assert [each.lane for each in inspection.show(path)] == ["alerts"] + ["bulk"] * 450
        assert [each.seq for each in inspection.show(path, lane="bulk", first=440, most=5)] == list(range(440, 445))
        assert len(list(inspection.show(path, most=3))) == 3
        assert outbox.append("bulk", [("more", b"{}")]) == [451]
    before = path.read_bytes()
    assert inspection.status(path).events == 452
    assert path.read_bytes() == before


def test_a_loss_is_accepted_knowingly(tmp_path: Path) -> None:
    """Without the consent it says what it would cost, with it the lane goes on when the sender asks the hub."""
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, quota_bytes=10**6) as outbox:
        outbox.append("bulk", [("a", b"{}"), ("b", b"{}")])
        assert inspection.resume(path) == []
        outbox.mark_sent("bulk", 2)
        outbox.ack("bulk", 1)
        outbox.stop("bulk", "hub_behind", 0)
        with pytest.raises(RunFailed, match="had 1 and now has 0") as refused:
            inspection.resume(path)
        assert refused.value.help is not None
        assert not outbox.consented("bulk")
        assert [each.lane for each in inspection.resume(path, accept_loss=True)] == ["bulk"]
        assert outbox.consented("bulk")
        gap = outbox.resume("bulk", 0)
        assert gap is not None
        assert (gap.first, gap.seq) == (1, 1)
        assert not outbox.consented("bulk")
        with pytest.raises(ValueError, match="no lane"):
            inspection.resume(path, lane="other")


def test_a_number_without_any_above_it_is_refused(tmp_path: Path) -> None:
    """There is no way on behind it, and the lane stays as it was."""
    with Outbox(tmp_path / "outbox.sqlite", quota_bytes=10**6) as outbox:
        outbox.append("bulk", [("a", b"{}")])
        outbox.stop("bulk", "hub_invalid", 10**30)
        inspection.resume(tmp_path / "outbox.sqlite", accept_loss=True)
        with pytest.raises(RunFailed, match="no number is left"):
            outbox.resume("bulk", 2**53)
        assert outbox.stopped("bulk") is not None
        assert not outbox.consented("bulk")
        assert outbox.status()["bulk"].events == 1


def test_no_outbox(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        inspection.status(tmp_path / "outbox.sqlite")
    (tmp_path / "outbox.sqlite").write_bytes(b"something else" * 500)
    with pytest.raises(RunFailed, match="not a SQLite file"):
        list(inspection.show(tmp_path / "outbox.sqlite"))
