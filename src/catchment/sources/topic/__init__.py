"""Topics of a broker."""
