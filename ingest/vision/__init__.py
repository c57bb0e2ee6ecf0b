"""Images in images: regions on album pages, screenshots, previews."""
