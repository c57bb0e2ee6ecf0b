"""Quality of single parts, with stand-ins for what cannot be had here."""
