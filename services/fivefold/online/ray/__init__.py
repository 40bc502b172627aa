"""Serving on Ray Serve: the deployment, what it is built from, and what it tells Ray."""
