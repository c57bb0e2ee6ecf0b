"""Decode untrusted image bytes into upright RGB images within limits."""
