"""The page's session: its key in a cookie."""

from starlette.datastructures import Headers

COOKIE = "askpix_key"
"""The page's key, in a cookie that no script can read and that no other site's page sends along."""


PAGE_HEADER = "X-Askpix-Page"


ASSETS = ("/web/", "/docs/")


def key_in_cookie(headers: Headers) -> str:
    """The key of the page's session; empty when there is none."""
    # Other programs on this machine set cookies too, some of which Python's own parser ends at; it takes
    # quadratic time to unquote one. A key needs no quotes.
    cookies = (each.partition("=") for each in headers.get("cookie", "").split(";"))
    return next((value.strip() for name, _, value in cookies if name.strip() == COOKIE), "")
