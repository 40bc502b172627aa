"""Two versions of a contract, field by field: what stands for what, and whether every value of one is one of the other.

`pairing` finds the field that stands for another, `inclusion` says why a legal value of one might not be a legal and
equal value of the other, with a value that shows it; `automaton` answers that question for text. What follows for
callers is left to `fivefold.evolution`.
"""
