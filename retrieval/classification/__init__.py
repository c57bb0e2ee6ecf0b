"""Zero-shot classification and class membership."""
