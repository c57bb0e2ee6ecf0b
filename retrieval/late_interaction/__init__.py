"""Multi-vector page embeddings (ColPali family) and their search."""
