"""The guard of a server: who calls, whether they may, and how much at once. It knows no transport.

    callers    `Guard`: a header's credential -> a `Principal` that may do what it asks, or an error
    keyring    API keys from files that are read again when they change
    tokens     OIDC tokens, by the issuer's published keys
    attempts   failed attempts by address, and how long it has to wait for the next one
    peers      which address that is, behind proxies
    allowance  the rate and the concurrency of one caller
    keys       the keys file: its entries, how they are made, read and written
    settings   which of this a server has

Nothing here waits or reads while a request is answered: files and the issuer's keys are read in the background. Where
a credential stands in a request, which route needs which scope, and what an error becomes is the adapters'.
"""

from fivefold.guard.callers import Guard, Principal

__all__ = ["Guard", "Principal"]
