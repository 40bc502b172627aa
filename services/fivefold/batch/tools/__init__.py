"""What is asked of runs and outputs afterwards: status, comparison, backfill."""
