"""Logs of messages: who keeps topics."""
