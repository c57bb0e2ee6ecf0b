"""Evaluation suites for retrieval, answers and extraction."""
