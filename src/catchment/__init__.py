"""Catchment: one project, from every source to tested gold tables."""

__version__ = "0.1.0"
