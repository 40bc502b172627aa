"""What a new version of a contract means for whoever holds another one: `fivefold check`.

    rule, value_rules what a rule is; those about values
    rules             the table of rules: what changed, how bad in which direction, and what to do about it
    changes           two contracts to findings, in both directions
    counter_example   a whole record that shows a finding, proven by running both readers
    verdict           the findings together: compatible in which direction, and how the version should move
    allowances        findings that somebody has accepted, each until a day
    transitive        one contract against all that are still served or stored
    traffic           recorded requests, replayed under both contracts
    presentation      the report as text, JSON, Markdown and for GitHub; SARIF in `sarif`
    contract_places   contracts in files, in bundles and of running servers

Whether a value of one field fits another is decided in `fivefold.core.evolution`, and so is how a bundle that carries
older versions answers them. Who acts on a verdict is left to the command, the gate of a release and CI.
"""
