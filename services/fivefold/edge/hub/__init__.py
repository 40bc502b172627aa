"""The hub: what devices have collected comes together here, each event once; and what they are to run goes out.

    database            one store's connections; `sqlite_database` in a directory, `postgres_database` in a cluster
    store_opening       which of them a directory or a URL is
    hub_schema          the tables, the same in both
    device_register     devices, the digests of their keys, what they last reported
    event_ledger        batches into the store and watermarks forward, in one transaction
    batch_commit        many devices' batches in one transaction
    forward_loop        what is stored goes on to a log, exactly once
    release_shelf       releases of models, their channels and archives
    hub_app             all of it over HTTP

What devices send is `fivefold.edge.sync`'s, whether a release is to be offered or halted `fivefold.edge.updates`'.
"""
