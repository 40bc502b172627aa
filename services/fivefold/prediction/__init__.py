"""Asking a bundle on this machine without a server: the same answers and the same errors as over REST, in seconds.

    predictor   a bundle, opened, under one version of its contract
    question    JSON as a person has it at hand -> the V1 body that REST would get
    file_rows   a file of rows, by the readers of batch

What is legal and what the model answers is core's; reading files is `fivefold.batch`'s; words and exit codes are the
command's.
"""
