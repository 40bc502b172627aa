"""What contract versions cost: a request by an adapter beside one without, and the check of a large contract."""
