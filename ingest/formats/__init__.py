"""File formats: images, PDF, office files, videos, raw and vector files."""
