"""The gate against slowdowns, as `make gate` runs it; `python -m loadtest.gate` puts its parts together.

trees       base and head side by side in a temporary directory
bundles     the models that both answer with
counting    instructions of every hot path, below callgrind
servers     base and head under uvicorn, or as `fivefold serve`
generator   the requests' generator: a closed loop over a few connections
pairing     blocks in the order ABBA, pair by pair, until it is decided
decision    Hodges-Lehmann, bootstrap, verdict
proof       the gate's proof of itself as a table
"""
