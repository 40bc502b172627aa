"""The edge: a gateway on a device, browsers, and the hub that they talk to when there is a network."""
