"""Where images come from: folders, archives, URLs and buckets."""
