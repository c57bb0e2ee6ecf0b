"""Keys, principals, sessions, rate limits and the audit log."""
