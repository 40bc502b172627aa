"""The outbox: a durable queue of events on a device's disk, with a byte quota and a number for every event.

    stored       what lies in an outbox, and how full it is
    queue        `Outbox`: append, read, acknowledge; one process at a time
    queue_file   the SQLite file: opened, checked, locked; outbox_schema: its tables
    append_rows  appends as rows, and what goes at the quota
    lane_rows    the rows, with their checksums; gap_rows: what leaves without having been delivered
    group_commit appends of many threads in one transaction
    inspection   what the commands show of an outbox, also while a gateway uses it

Every event that was accepted is delivered once, or covered by a gap record. How events travel is left to
`fivefold.edge.sync`.
"""

from fivefold.edge.outbox.queue import Outbox
from fivefold.edge.outbox.stored import Gap, Stored

__all__ = ["Gap", "Outbox", "Stored"]
