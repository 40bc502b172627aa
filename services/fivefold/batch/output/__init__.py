"""What a run leaves behind: parts, quarantine, the ledger, and the report that publishes them."""
