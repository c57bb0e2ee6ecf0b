"""Understand questions: follow-ups, rewriting, and questions about a whole collection."""
