"""How cost grows: with models, rows, fields, connections, replicas. `python -m loadtest.scale --help`."""
