"""Askpix: ask your images. Each room of the code is a sub-package here: ``retrieval``, ``askpix.api``..."""
