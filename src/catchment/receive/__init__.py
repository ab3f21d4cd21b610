"""Webhooks, taken by a process of its own and answered once they are durable in a topic. Never reads a table."""
