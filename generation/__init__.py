"""Reads hits, writes answers with citations."""
