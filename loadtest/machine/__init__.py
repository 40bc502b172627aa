"""The machine that figures are measured on, and what every measurement stands on.

measurement    a measurement as a command: scratch, progress, and how it ends
command        one command while it runs: its time, its processes, its memory
host           a `fivefold serve` of the harness's own, and what it weighs
generated      rows and models that are the same on every machine
hardware       what a figure was measured on
programs       tools and environments: where they are, how to get them
"""
