"""Open the stores, catalog and models of one home."""
