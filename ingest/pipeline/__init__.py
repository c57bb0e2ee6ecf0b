"""The stages of indexing, from plan to store."""
