"""The contract: its fields in order, and how it is read."""
