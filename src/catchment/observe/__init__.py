"""Who listens to a run: people, programs, and the log of runs."""
