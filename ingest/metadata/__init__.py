"""What is known of an image: EXIF, XMP, sidecars, captions."""
