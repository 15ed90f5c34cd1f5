"""The gateway's own pages: probes, and the API's documentation without any other server."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import orjson

from gateway.proxy.headers import Header
from parley.web import admin_port
from parley.web.runtime import Runtime

CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DAY = b"public, max-age=86400"


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its body, and its headers without the length."""

    status: int
    body: bytes
    headers: tuple[Header, ...]


Render = Callable[[], Page]


class Pages:
    """Finds the page of a path; files are read when first asked for."""

    def __init__(self, runtime: Runtime) -> None:
        """Take what the probes report on."""
        self._runtime = runtime
        self._pages: dict[str, Render] = {
            "/health": self._health,
            "/ready": self._ready,
            "/docs": lru_cache(
                lambda: _html("Parley API", "swagger", ["swagger-ui.css"], ["swagger-ui-bundle.js", "swagger.js"])
            ),
            "/redoc": lru_cache(lambda: _html("Parley API", "redoc", [], ["redoc.standalone.js", "redoc.js"])),
            "/openapi.json": lru_cache(lambda: _file("openapi.json", b"application/json")),
            "/docs/errors": lru_cache(lambda: _file("static/errors.html", b"text/html; charset=utf-8")),
            "/docs/static/page.css": lru_cache(lambda: _file("static/page.css", b"text/css")),
            "/docs/static/swagger-ui.css": lru_cache(lambda: _packed("swagger-ui.css", b"text/css")),
            "/docs/static/swagger-ui-bundle.js": lru_cache(lambda: _packed("swagger-ui-bundle.js", b"text/javascript")),
            "/docs/static/redoc.standalone.js": lru_cache(lambda: _packed("redoc.standalone.js", b"text/javascript")),
            "/docs/static/swagger.js": lru_cache(lambda: _file("static/swagger.js", b"text/javascript")),
            "/docs/static/redoc.js": lru_cache(lambda: _file("static/redoc.js", b"text/javascript")),
        }

    def find(self, path: str) -> Render | None:
        """Return what renders the page of a path."""
        return self._pages.get(path)

    def _health(self) -> Page:
        return _json(200 if self._runtime.lifecycle.alive() else 503, admin_port.health(self._runtime))

    def _ready(self) -> Page:
        state = self._runtime.lifecycle.state
        return _json(200 if state == "ready" else 503, {"status": state})


@lru_cache(maxsize=8)
def unpacked(page: Page) -> Page:
    """Return the page for a client that does not take gzip."""
    if (b"content-encoding", b"gzip") not in page.headers:
        return page
    kept = tuple(pair for pair in page.headers if pair[0] != b"content-encoding")
    return Page(page.status, gzip.decompress(page.body), kept)


def _json(status: int, body: object) -> Page:
    return Page(status, orjson.dumps(body), ((b"content-type", b"application/json"), (b"cache-control", b"no-store")))


def _html(title: str, kind: str, styles: list[str], scripts: list[str]) -> Page:
    links = "".join(f'<link rel="stylesheet" href="/docs/static/{name}">' for name in [*styles, "page.css"])
    tags = "".join(f'<script src="/docs/static/{name}" defer></script>' for name in scripts)
    body = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{links}{tags}</head>'
        f'<body class="{kind}"><div id="page"></div></body></html>'
    )
    return Page(200, body.encode(), ((b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", CSP)))


def _file(name: str, media_type: bytes) -> Page:
    found = resources.files("gateway.local").joinpath(name)
    if not found.is_file():
        return Page(404, b"", ())
    headers = ((b"content-type", media_type), (b"cache-control", b"no-cache"), (b"content-security-policy", CSP))
    return Page(200, found.read_bytes(), headers)


def _packed(name: str, media_type: bytes) -> Page:
    body = resources.files("gateway.local").joinpath(f"static/{name}.gz").read_bytes()
    headers = (
        (b"content-type", media_type),
        (b"cache-control", DAY),
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
    )
    return Page(200, body, headers)
