"""Wording of counts for people."""


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """Return a count with its noun: "1 image", "1,200 images"."""
    return f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"
