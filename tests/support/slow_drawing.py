"""A drawing of some hundred bytes that takes minutes of CPU to draw, in one call into foreign code."""


def slow_drawing(salt: str = "") -> bytes:
    """Blurs of blurs, each over the whole drawing."""
    blurs = "".join('<feGaussianBlur stdDeviation="90 90"/><feTurbulence numOctaves="9"/>' for _ in range(90))
    groups = '<g filter="url(#f)">' * 9 + '<rect width="100" height="100"/>' + "</g>" * 9
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
    return f'{head}<!-- {salt} --><filter id="f">{blurs}</filter>{groups}</svg>'.encode()
