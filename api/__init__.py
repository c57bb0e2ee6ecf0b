"""Every door in, and the only place that knows the whole."""
