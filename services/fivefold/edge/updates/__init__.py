"""Models of devices that are replaced from afar, or from a stick, without ever being without one.

descriptor   release.json: which bundle, how its archive is cut, under which number; signed by the publisher
channels     which release a device is offered, and when one is halted: decided by the hub, without side effects
"""
