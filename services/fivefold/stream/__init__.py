"""Stream: events in, exactly one result or one dead letter for each out.

    events        what travels: an event as it was read, and one to be written
    log           the port: poll, then commit results and progress in one transaction
    sqlite_log    the log of one machine, in a directory
    kafka_log     the log of a cluster
    event_formats plain and CloudEvents: where the record of an event is, and how a result is written
    avro_events   records in Avro, by the schemas of a registry; avro_results writes results so
    scoring       events -> results and dead letters
    worker        the loop: poll, score, commit, until it is stopped
    dead_letters  what a dead letter carries, and how it is read, shown and sent again

What a value may be is core's, bundles come by `fivefold.delivery`. A worker holds no state: what is done stands in the
log, with the results, by the same transaction.
"""
