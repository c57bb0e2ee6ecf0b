"""Large collections, concurrent clients and killed processes."""
