"""What is measured of the edge: the outbox and its sender under kills, a torn network and full disks."""
