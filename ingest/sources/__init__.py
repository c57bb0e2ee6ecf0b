"""Sources of images: folders, archives, URLs and buckets."""
