"""Manifests, questions and data sets."""
