"""Models of devices that are replaced from afar, or from a stick, without ever being without one.

    descriptor         release.json: which bundle, how its archive is cut, under which number; signed by the publisher
    channels           which release a device is offered, and when one is halted: decided by the hub, no side effects
    release_source     the hub or a directory, trusted with neither descriptors nor bytes
    archive_download   chunks, each held against its hash, resumed where they broke off
    examiner           the bundle opened, compared and self-tested in a child process (`examination`)
    activation         the steps from one release to the next, as a value, and its file
    device_models      archives and state on the device's disk
    updater            all of it in order, for a gateway; `device_report` tells the hub

What a bundle is, and when it may be served at all, is left to `fivefold.core.bundle`; serving it to the gateway.
"""
