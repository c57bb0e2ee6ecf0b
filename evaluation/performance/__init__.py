"""Speed beside the bare libraries."""
