"""Use cases, one module each: index, ask, describe, export and the rest."""
