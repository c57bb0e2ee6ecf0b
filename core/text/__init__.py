"""Normalised words and the layout of text lines on a page."""
