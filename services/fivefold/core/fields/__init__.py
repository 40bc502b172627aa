"""Fields: what one named value of a row may be.

Below the contract, because columns, checks and readers know fields and no contract; a contract's defaults are read by
the readers.
"""
