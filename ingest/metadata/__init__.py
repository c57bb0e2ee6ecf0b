"""Metadata of an image: EXIF, XMP, sidecars, captions."""
