"""Fivefold beside other servers, as `make bench` runs it; `python -m loadtest.bench` puts its parts together.

comparison     what a comparison is
contenders     that by rows: who is compared, and the least ratios that are wanted
tensors        that by large tensors
questions      what is asked, in each server's own form, and how to read its answer
running        the servers while they run
tools          wrk and ghz
rates          the figures, and the ratios that follow from them
budget         where the microseconds of a small request over REST go; stages has them one by one
section        the figures as Markdown, in the document; forest draws the ratios
"""
