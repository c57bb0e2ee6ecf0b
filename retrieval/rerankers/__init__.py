"""Rerankers: cross-encoders, vision-language models and generators."""
