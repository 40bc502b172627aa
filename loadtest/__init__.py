"""Load tests and comparisons, run from the repository's root: `make load`, `make bench`, `make gate`."""
