"""Metrics of ranking, answers and OCR."""
