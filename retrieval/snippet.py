"""The piece of a picture's text that shows why it was found."""

from retrieval.words import content_words, has_phrase, tokens

MAX_LENGTH = 200


def snippet(text: str, query: str, phrases: tuple[str, ...] = ()) -> str | None:
    """The row of ``text`` that holds a phrase, else the most words of ``query``, with its neighbour when
    there is room; None when the text is empty."""
    rows = [row for row in text.splitlines() if row.strip()]
    if not rows:
        return None
    wanted = set(content_words(query))

    def fit(index: int) -> tuple[int, int]:
        row = rows[index]
        held = sum(has_phrase(row, phrase) for phrase in phrases)
        return held, len(wanted.intersection(tokens(row)))

    best = max(range(len(rows)), key=lambda index: (*fit(index), -index))
    piece = rows[best]
    if best + 1 < len(rows) and len(piece) + len(rows[best + 1]) < MAX_LENGTH // 2:
        piece = f"{piece} · {rows[best + 1]}"
    return piece if len(piece) <= MAX_LENGTH else piece[: MAX_LENGTH - 1] + "…"
