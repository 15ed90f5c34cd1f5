"""Developer portal: guides, Swagger UI, ReDoc and the API descriptions, from packaged files."""

import functools
import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from gateway.http import Header
from gateway.proxy.compression import MIN_SIZE

CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REVALIDATE = b"no-cache"
"""For pages that a browser keeps, and asks about each time."""
CACHE_FOR_A_DAY = b"public, max-age=86400"
HTML, _CSS, JAVASCRIPT = b"text/html; charset=utf-8", b"text/css", b"text/javascript"


@dataclass(frozen=True, slots=True)
class LocalPage:
    """A response body with its headers, without the content-length."""

    status: int
    body: bytes
    headers: tuple[Header, ...]


Render = Callable[[], LocalPage]


def docs_pages() -> Mapping[str, Render]:
    """Return the documentation pages by path. Files are read on first use."""
    pages: dict[str, Render] = {
        **{path: functools.partial(packaged_file, f"static/portal/{name}", HTML) for path, name in _portal_pages()},
        "/docs/api": lambda: _html("swagger", ["swagger-ui.css"], ["swagger-ui-bundle.js", "swagger.js"]),
        "/docs/reference": _reference,
        "/redoc": _reference,
        "/openapi.json": lambda: packaged_file("openapi.json", b"application/json"),
        "/asyncapi.yaml": lambda: packaged_file("asyncapi.yaml", b"application/yaml"),
        "/docs/static/portal.css": lambda: packaged_file("static/portal.css", _CSS),
        "/docs/static/portal.js": lambda: packaged_file("static/portal.js", JAVASCRIPT),
        "/docs/static/page.css": lambda: packaged_file("static/page.css", _CSS),
        "/docs/static/swagger-ui.css": lambda: _compressed_file("swagger-ui.css", _CSS),
        "/docs/static/swagger-ui-bundle.js": lambda: _compressed_file("swagger-ui-bundle.js", JAVASCRIPT),
        "/docs/static/redoc.standalone.js": lambda: _compressed_file("redoc.standalone.js", JAVASCRIPT),
        "/docs/static/swagger.js": lambda: packaged_file("static/swagger.js", JAVASCRIPT),
        "/docs/static/redoc.js": lambda: packaged_file("static/redoc.js", JAVASCRIPT),
    }
    return {path: functools.cache(render) for path, render in pages.items()}


def _portal_pages() -> Iterator[tuple[str, str]]:
    """Yield the path and the file of each page: ``guides-quickstart.html`` is ``/docs/guides/quickstart``."""
    for file in resources.files("gateway.local").joinpath("static/portal").iterdir():
        name = file.name.removesuffix(".html")
        yield "/docs" if name == "index" else f"/docs/{name.replace('guides-', 'guides/')}", file.name


def _reference() -> LocalPage:
    return _html("redoc", [], ["redoc.standalone.js", "redoc.js"])


def make_page(
    body: bytes, media_type: bytes, *, policy: bytes = CONTENT_SECURITY_POLICY, cache: bytes = REVALIDATE
) -> LocalPage:
    """Return a page. One that browsers ask about each time has an ETag, and is compressed if that is useful."""
    headers = [(b"content-type", media_type), (b"cache-control", cache), (b"content-security-policy", policy)]
    if cache == REVALIDATE:
        # Weak, because the compressed and the plain page have the same one.
        headers.append((b"etag", b'W/"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()))
        if len(body) >= MIN_SIZE:
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
            body = gzip.compress(body, mtime=0)
    return LocalPage(200, body, tuple(headers))


def decompressed(page: LocalPage) -> LocalPage:
    """Return the page for a client that does not accept gzip."""
    return _decompress(page) if (b"content-encoding", b"gzip") in page.headers else page


@functools.lru_cache(maxsize=128)
def _decompress(page: LocalPage) -> LocalPage:
    kept = tuple(pair for pair in page.headers if pair[0] != b"content-encoding")
    return LocalPage(page.status, gzip.decompress(page.body), kept)  # nosemgrep: decompression-bomb - our page


def _html(body_class: str, styles: list[str], scripts: list[str]) -> LocalPage:
    links = "".join(f'<link rel="stylesheet" href="/docs/static/{name}">' for name in [*styles, "page.css"])
    tags = "".join(f'<script src="/docs/static/{name}" defer></script>' for name in scripts)
    body = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Parley API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{links}{tags}</head>'
        f'<body class="{body_class}"><div id="page"></div></body></html>'
    )
    return make_page(body.encode(), HTML)


def packaged_file(
    name: str, media_type: bytes, *, policy: bytes = CONTENT_SECURITY_POLICY, cache: bytes = REVALIDATE
) -> LocalPage:
    """Return a file of this package as a page; 404 if it is missing."""
    found = resources.files("gateway.local").joinpath(name)
    if not found.is_file():
        return LocalPage(404, b"", ())
    return make_page(found.read_bytes(), media_type, policy=policy, cache=cache)


def _compressed_file(name: str, media_type: bytes) -> LocalPage:
    body = resources.files("gateway.local").joinpath(f"static/{name}.gz").read_bytes()
    headers = (
        (b"content-type", media_type),
        (b"cache-control", CACHE_FOR_A_DAY),
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
    )
    return LocalPage(200, body, headers)
