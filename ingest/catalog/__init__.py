"""The catalog: collections, images, texts, tags and the ledgers of each stage."""
