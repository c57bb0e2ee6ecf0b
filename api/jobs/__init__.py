"""Background jobs and uploads."""
