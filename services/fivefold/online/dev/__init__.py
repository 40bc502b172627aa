"""`fivefold serve --dev`: everything that a server answers, in one process without Ray."""
