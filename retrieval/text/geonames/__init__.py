"""Data: cities and countries of GeoNames (CC BY 4.0), packed by ``tools/pack_places.py``."""
