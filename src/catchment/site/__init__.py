"""The project as a web site that works without a server."""
