"""Load embedders and generators by their ids."""
