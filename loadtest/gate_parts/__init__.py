"""The parts of the gate against slowdowns; `loadtest.gate` puts them together.

trees       base and head side by side in a temporary directory
bundles     the models that both answer with
counting    instructions of every hot path, below callgrind
servers     base and head under uvicorn, or as `fivefold serve`
asking      the requests' generator: a closed loop over a few connections
pairing     blocks in the order ABBA, pair by pair, until it is decided
decision    Hodges-Lehmann, bootstrap, verdict
"""
