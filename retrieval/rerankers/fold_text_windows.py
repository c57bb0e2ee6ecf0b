"""A long text as pieces that a text model can read, the most promising ones first."""

from askpix.retrieval.text.tokenize import content_words, tokens

WINDOW, STRIDE = 180, 150
"""Words: some 300 tokens with the question, inside the 512 that most cross-encoders read."""
MOST = 3
"""Windows of one text that are read: on a CPU each costs some 30 ms, and there are fifty hits."""
_CHARACTERS = 200_000
_WORD = 60


def windows(text: str, query: str) -> list[str]:
    """Overlapping pieces of ``text``, at most ``MOST``: those that hold most words of the query, in order.

    Empty for a text without words.
    """
    words = [word[:_WORD] for word in text[:_CHARACTERS].split()]
    if not words:
        return []
    pieces = [
        " ".join(words[start : start + WINDOW])
        for start in range(0, max(1, len(words) - (WINDOW - STRIDE)), STRIDE)
    ]
    if len(pieces) <= MOST:
        return pieces
    wanted = set(content_words(query) or tokens(query))
    held = [len(wanted & set(tokens(piece))) for piece in pieces]
    best = sorted(range(len(pieces)), key=lambda at: (-held[at], at))[:MOST]
    return [pieces[at] for at in sorted(best)]
