"""A bundle: one model with its contract, its binding and its golden rows, as files with digests."""
