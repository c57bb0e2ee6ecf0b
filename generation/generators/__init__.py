"""Generators: hosted APIs, OpenAI-compatible servers and local vision-language models."""
