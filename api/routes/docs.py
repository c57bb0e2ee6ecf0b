"""The API as a page to read and to try: Swagger UI, from our own files."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

from askpix.api.security.problems import ProblemError

router = APIRouter(prefix="/docs", include_in_schema=False)
_FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
_POLICY = (
    # Swagger UI writes styles into its elements.
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Askpix API</title>
<link rel="icon" href="/web/icon.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
});
"""


@router.get("")
def docs() -> Response:
    """The page."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


@router.get("/{name}")
def part(name: str) -> Response:
    """Serve a file of the page."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _FILES:
        raise ProblemError(404, f"no file {name!r}")
    headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return Response(_vendored(name), media_type=_FILES[name], headers=headers)


@cache
def _vendored(name: str) -> bytes:
    return files("askpix.api").joinpath("web", "vendor", "swagger", name).read_bytes()
