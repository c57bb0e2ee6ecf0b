"""The shared state of a running server."""
