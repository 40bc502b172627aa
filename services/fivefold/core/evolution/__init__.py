"""Two versions of a contract, field by field: what stands for what, and whether every value of one is one of the other.

`pairing` finds the field that stands for another, `inclusion` says why a legal value of one might not be a legal and
equal value of the other, with a value that shows it; `number_set` answers that question for numbers, `automaton` for
text. `adapter` takes columns from one version to the other. What follows for callers is left to `fivefold.evolution`.
"""
