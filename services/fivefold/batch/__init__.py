"""Batch: files in, files out, every row accounted for.

    settings     what a run may be told
    places       directories and buckets: where files are read and output is written
    sources      patterns -> the files of a run, each with its identity
    formats/     Parquet, CSV, JSON lines: cutting a file, reading a piece of it
    plan         files -> fragments, and the identity of the run
    score        one fragment: read, check, score, write; no more of it in memory than a chunk
    output       the files that a fragment becomes
    carried      columns of any type in them
    ledger       one record a finished fragment, created once: what a run resumes from
    crew         the workers, Ray actors; a dead one is replaced
    run          the whole: plan, crew, losses, breaker, publishing
    job          a run told as data, for another process
    verify       whether an output is what its ledger says
    difference   two outputs, row by row; cells: when two are the same
    progress     what a person or a program sees of it

What a value may be is core's, bundles come by `fivefold.delivery`. A run holds no state but its output directory, so
any machine that sees that can go on with it.
"""
