"""Bundles from where they are kept to where they are served, told apart by digest.

    reference   a path, or a URL with the bundle's digest: https://host/demo.tar#sha256=DIGEST
    settings    cache directory, trusted keys, limits
    cache       one file a digest, filled by one process at a time
    web         one object over http and https, redirects without a Referer
    download    one object's bytes from https, s3 or gs, with retries
    fetch       reference -> verified bundle

What a bundle is, and when it may be served at all, is left to `fivefold.core.bundle.bundle`; opening its model to the
scorer.
"""
