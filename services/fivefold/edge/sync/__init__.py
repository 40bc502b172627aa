"""How events get from a device to a hub: protocol version 1, and who sends.

    lane_protocol  paths, headers, limits, and what a hub replies
    event_bodies   an event as JSON, before it has a number
    lane_batches   lines and batches, written by devices and read by hubs
    hub_client     one request to a hub
    pacing         back-off and bandwidth
    sender         `Sender`: the thread that empties an outbox

What waits on the disk is `fivefold.edge.outbox`'s; what a hub does with a batch is the hub's.
"""
