"""Request and response models of the HTTP API, and result serialisation."""
