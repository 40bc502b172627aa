"""Ray on one machine: starting it small and on loopback, and who dies with whom.

Shared by the patterns that run on a local Ray; what they run there is theirs.
"""
