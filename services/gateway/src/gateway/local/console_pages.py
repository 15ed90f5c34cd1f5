"""The console: the web app at `/`, from the files that `make console` builds into this package."""

import functools
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from gateway.local.docs_pages import HTML, JAVASCRIPT, LocalPage, Render, make_page

CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    b"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No inline script, no ``eval``, no other origin; no string becomes HTML or a script. Images of files: ``blob:``."""
CACHE_FOREVER = b"public, max-age=31536000, immutable"
"""For files whose name has the hash of their content."""
ASSETS = "/assets/"
_BUILT = "console"
_MEDIA_TYPES = {".js": JAVASCRIPT, ".css": b"text/css", ".svg": b"image/svg+xml"}
_COMPRESSED = ".gz"


def console_pages() -> Mapping[str, Render]:
    """Return the files of the console by path. Files are read on first use."""
    built = resources.files("gateway.local").joinpath(_BUILT)
    pages: dict[str, Render] = {"/": functools.cache(lambda: _index(built))}
    assets = built.joinpath("assets")
    for file in assets.iterdir() if assets.is_dir() else ():
        name = file.name.removesuffix(_COMPRESSED)
        pages[ASSETS + name] = functools.cache(functools.partial(_asset, file, name))
    return pages


def _index(built: Traversable) -> LocalPage:
    file = built.joinpath("index.html")
    if not file.is_file():
        return LocalPage(404, b"", ())
    return make_page(file.read_bytes(), HTML, policy=CONTENT_SECURITY_POLICY)


def _asset(file: Traversable, name: str) -> LocalPage:
    headers = [(b"content-type", _MEDIA_TYPES[name[name.rfind(".") :]]), (b"cache-control", CACHE_FOREVER)]
    if file.name.endswith(_COMPRESSED):
        headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
    return LocalPage(200, file.read_bytes(), tuple(headers))
