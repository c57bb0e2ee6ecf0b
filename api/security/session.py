"""The page's session: its key in a cookie."""

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers

COOKIE = "askpix_key"
"""The page's key, in a cookie that no script can read and that no other site's page sends along."""


PAGE_HEADER = "X-Askpix-Page"


ASSETS = ("/web/", "/docs/")


def key_in_cookie(headers: Headers) -> str:
    """The key of the page's session; empty when there is none."""
    cookies = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", "")[:8192])
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""
