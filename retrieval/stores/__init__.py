"""The VectorStore protocol, its payload and filters, and wrappers that work on any store."""
