"""A cluster on this machine, reached from outside as its callers reach it, and broken as clusters break."""
