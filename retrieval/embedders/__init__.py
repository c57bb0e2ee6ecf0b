"""Embedders: images and text into one vector space, by torch libraries, and their base class."""
