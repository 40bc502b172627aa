"""One fragment's work: read, check, score, write, record."""
