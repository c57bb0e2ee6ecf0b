"""What was found in a page, and how well it fits the question."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A value with the words it was read from, as they stand in the page."""

    value: str
    quote: str
    fit: float
    """0 to 1: how sure the rules are that this is what was asked for."""
