"""What two bundles answer differently on the same rows: how often, by how much, for whom.

    compared_rows   golden rows of both, and recorded requests, with the contract version that each speaks
    model_side      one of the two models, asked; what it refuses, by code and path
    output_pairs    which outputs are compared, as categories or as numbers
    slices          rows by the old answer's class, by an input field, by where they come from
    measures        disagreement and change, of all rows and of each slice; `intervals` says how sure they are
    contrast        all of it, for two bundles
    thresholds      how much may differ, and the sentence about what is too much
    wording         the difference as text, Markdown and HTML; picture draws it

Nothing is decided here about contracts: that is `fivefold check`'s. Recording requests is left to
`fivefold.serving.recording`, fetching bundles to `fivefold.delivery`.
"""
