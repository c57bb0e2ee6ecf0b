"""The extractive generator: answers read from text and tables, without a model."""
