"""A process on one machine: its signals, its health, its directories, and a Ray of its own.

    signals        how a run hears that it is to end
    health_server  probes and metrics of a process that answers no requests
    scratch        private directories
    processes      who dies with whom
    ray_start      a small Ray on loopback

Shared by the patterns; what they run is theirs.
"""
