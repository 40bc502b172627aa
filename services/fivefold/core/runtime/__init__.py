"""The model called: the scorer, and a runner for each kind of model."""
