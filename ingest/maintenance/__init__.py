"""Verify, re-embed, export and import collections."""
