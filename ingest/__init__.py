"""Fills the index: walks sources, decodes, embeds, reads text, keeps the ledger."""
