"""`fivefold gateway`: one process on a device that answers like a server, and keeps what it answers until a hub has it.

    gateway_settings   what it needs to know
    gateway_process    the process: opened, served, drained
    storing            no answer before its event is on the disk
    answer_events      an inference as events
    outbox_writer      events of many requests, one synchronisation of the disk
    served_models      which models it serves, and how one is swapped under it
    gateway_status     how it stands, for people and for metrics
    mqtt_intake        requests that come by MQTT
    mqtt_order         acknowledgements in the order in which the messages came

Answering is `fivefold.serving`'s, the queue on the disk `fivefold.edge.outbox`'s, sending `fivefold.edge.sync`'s.
"""
