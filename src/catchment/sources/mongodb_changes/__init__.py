"""Change streams of MongoDB."""
