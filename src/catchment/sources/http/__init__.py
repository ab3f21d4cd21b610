"""Rows from APIs over HTTP: one client, one way through pages, one memory of what landed, for REST and GraphQL."""
