"""Kafka Connect: the connectors that a project's sources declare, and what of them runs."""
