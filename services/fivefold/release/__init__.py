"""The gate of a release: what is about to be served, held against what is served now.

    gate             open the new bundles, ask the live service, find what its callers would miss
    succession_gate  what the callers of what is served now would lose
    behaviour_gate   what the model answers, held against the bundle before it

Fetching bundles is left to `fivefold.delivery`, asking to `fivefold.client`, what a change of a contract means to
`fivefold.evolution`; which version answers by default is decided by the same `Repository` that will serve.
"""
