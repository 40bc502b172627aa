"""How much an exported page sends, and how long it takes to answer without a network."""
