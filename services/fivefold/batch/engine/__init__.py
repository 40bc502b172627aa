"""Who does a run's work: Ray actors, this process, or Ray Data."""
