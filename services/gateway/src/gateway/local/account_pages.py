"""Pages behind mailed and printed links: choosing a password, and confirming an e-mail address.

The token is in the fragment of the link. A page uses it when the person presses its button, and never by being opened,
because mail scanners open links.
"""

import functools
from collections.abc import Mapping

from gateway.local.docs_pages import HTML, JAVASCRIPT, LocalPage, Render, packaged_file

CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
RESET_PATH, VERIFY_PATH = "/reset", "/verify-email"


def account_pages() -> Mapping[str, Render]:
    """Return the pages by path. Files are read on first use."""
    pages: dict[str, Render] = {
        RESET_PATH: lambda: _page("reset.html"),
        VERIFY_PATH: lambda: _page("verify-email.html"),
        "/docs/static/account.js": lambda: packaged_file("static/account.js", JAVASCRIPT),
    }
    return {path: functools.cache(render) for path, render in pages.items()}


def _page(name: str) -> LocalPage:
    return packaged_file(f"static/{name}", HTML, policy=CONTENT_SECURITY_POLICY, cache=b"no-store")
