"""Speed of single parts beside the bare libraries."""
