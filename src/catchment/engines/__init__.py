"""Who computes silver and writes files."""
