"""A run from its first file to `_SUCCESS`, and the same as a job of a cluster."""
