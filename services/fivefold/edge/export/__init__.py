"""Bundles as what a device runs: each module writes one kind of device's directory, and refuses what it cannot run.

Choosing the kind and printing are left to `fivefold.commands.export`.
"""
