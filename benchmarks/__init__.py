"""Measurements for maintainers: ``python -m benchmarks``."""
