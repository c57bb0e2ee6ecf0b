"""Vector stores on Qdrant: Edge in this process, and a server or cluster."""
