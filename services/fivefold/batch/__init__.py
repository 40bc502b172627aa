"""Batch: files in, files out, every row accounted for.

    storage/  directories and object stores: where files are found, read and written
    formats/  Parquet, CSV, JSON lines: the ranges of a file, reading a chunk of it
    plan/     settings, and files -> fragments with the identity of the run
    output/   parts, quarantine, the ledger that a run resumes from, publishing, verifying
    work/     one fragment: read, check, score, write; no more of it in memory than a chunk
    engine/   who does the work: one process, Ray actors, Ray Data
    run/      the whole: plan, resume, work, account, publish; and the same as a job
    tools/    what is asked of runs and outputs afterwards

Each stands on those above it. What a value may be is core's, bundles come by `fivefold.delivery`. A run holds no state
but its output directory, so any machine that sees that can go on with it.
"""
