"""Words, snippets, entities and place names in text."""
