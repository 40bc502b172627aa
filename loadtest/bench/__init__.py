"""Fivefold beside other servers, as `make bench` runs it; `python -m loadtest.bench` puts its parts together.

contenders     who is compared, and the least ratios that are wanted
questions      what is asked, in each server's own form, and how to read its answer
running        the servers while they run
tools          wrk and ghz
rates          the figures, and the ratios that follow from them
section        the figures as Markdown, in the document; forest draws the ratios
"""
