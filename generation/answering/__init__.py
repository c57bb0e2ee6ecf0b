"""Answer questions from hits, or by counting and summing over a collection."""
