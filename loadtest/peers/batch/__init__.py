"""What batch scoring is measured beside: one program each, in its own environment, in its documented fast form.

Each reads the Parquet files of a folder, scores their rows with the model that `scoring` names, writes the rows'
numbers and answers as Parquet into another folder, and ends. Both folders and the number of workers come from the
environment variables that `tables` names. None imports anything of Fivefold. Starting them is left to
`loadtest.batch`.
"""
