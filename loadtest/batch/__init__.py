"""Batch scoring measured: `python -m loadtest.batch`, and below it `kill`, `backfill` and `faults`.

Rows, models and one command while it runs are in `loadtest.machine`, as streams need them too.

outputs        an output directory as any reader finds it: digests, ledger, quarantine, report
programs       who is compared, and the least ratios that are wanted
answers        what they answer, told apart by the rows' own numbers
durations      seconds, rates, ratios and goals
markdown       the comparison in words
kill_plan      who is killed when, and what a kill has cost
injected       rows with faults of known kinds, in any format; injected_text and injected_parquet write the files
finding        the quarantine beside those faults
"""
