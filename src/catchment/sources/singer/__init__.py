"""Taps that write Singer messages."""
