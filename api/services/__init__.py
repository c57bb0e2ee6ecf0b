"""One module for each use case: index, ask, describe, export and the rest."""
