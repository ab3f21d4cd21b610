"""Refined: what silver committed, as messages of a topic, each once."""
