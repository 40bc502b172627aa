"""`fivefold serve`: one machine's run, from the check of its ports to the end of its last process."""
