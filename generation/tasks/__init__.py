"""Captions, field extraction, screenshot audits and tables of one image."""
