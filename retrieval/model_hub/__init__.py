"""Find models on the hub, in caches and folders; what is known about each."""
