"""Figures: the live figures of a project, applied, fed, asked how they stand, and held against a recount."""
