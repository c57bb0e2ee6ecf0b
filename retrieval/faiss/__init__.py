"""A vector store on FAISS with its records in SQLite."""
