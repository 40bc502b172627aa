"""Whether every runtime on this machine answers a bundle's rows alike: same outputs, same refusals.

question_rows     golden rows, and rows generated from the contract: legal ones
refusable_rows    generated rows that break one rule each
row_answers       what a runtime says of one row, and how its outputs are read
expected_answers  what the core says: what everybody is held against
runtimes          one file a runtime, and the list of them
row_agreement     the comparison; agreement_limit: how far floats may be apart
parity_table  parity_picture   the result for people

The one room that may import every pattern; nothing but the command imports it.
"""
