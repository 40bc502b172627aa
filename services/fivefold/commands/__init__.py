"""The commands of `fivefold`, one module a noun; `fivefold.cli` puts them together."""
