"""Redis: keys by pattern, and streams."""
