"""Parse a query into meaning and filters: dates, places, amounts, media."""
