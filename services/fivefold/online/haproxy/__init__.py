"""The HAProxy in front of the replicas: the configuration of Ray Serve's own, edited, and a second one for gRPC."""
