"""The commands ``askpix eval`` and ``askpix bench``."""
