"""The parts of the measurements of batch: `loadtest.batch_bench`, `batch_kill`, `batch_backfill` and `batch_dirt`.

data           rows and models that are the same on every machine
command        one command while it runs: its time, its processes, its memory
outputs        an output directory as any reader finds it: digests, ledger, quarantine, report
contenders     who is compared, and the least ratios that are wanted
answers        what they answer, told apart by the rows' own numbers
result         rates, ratios and goals
kills          who is killed when, and what a kill has cost
dirt           spoiled rows and the truth about them; dirt_text and dirt_parquet write the files
finding        the quarantine beside that truth
writing        Markdown
"""
