"""docs/errors.md, and the gateway's page of it: every code a client can meet, from the error classes."""

import html
import importlib
import re
from collections.abc import Iterator
from itertools import groupby

from parley.errors import ParleyError

MODULES = ("parley.errors", "auth.errors", "chat.errors", "history.errors", "gateway.errors")
HEAD = """# Errors

Every error of Parley is `application/problem+json` (RFC 9457). `code` is stable: program against it, never against the
texts. `request_id` finds the request in the logs. `errors[]` points at the members that are wrong. The `error` object
repeats the same in the form that OpenAI's SDKs read. The token endpoints (`/api/v1/auth/token`, `/revoke`,
`/introspect`) answer in the form of RFC 6749 instead: `{"error": "invalid_grant", "error_description": "…"}`.

A client may repeat a request after 408, 429, 502, 503 and 504 when it waits as long as `Retry-After` says; not when the
answer has `x-should-retry: false`.
"""

WEB_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Errors of Parley</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/static/page.css"></head>
<body><main class="text"><h1>Errors</h1>
"""


def catalogue() -> list[type[ParleyError]]:
    """Return one class for each code, by status and code; ValueError when a code has two statuses."""
    for module in MODULES:
        importlib.import_module(module)
    found = sorted(_subclasses(ParleyError), key=lambda kind: (kind.code, kind.status, kind.__module__))
    chosen = []
    for code, kinds in groupby(found, key=lambda kind: kind.code):
        same = list(kinds)
        if len({kind.status for kind in same}) != 1:
            raise ValueError(f"{code} has more than one status")
        chosen.append(min(same, key=_generality))
    return sorted(chosen, key=lambda kind: (kind.status, kind.code))


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for status, kinds in groupby(catalogue(), key=lambda kind: kind.status):
        parts.append(f"\n## {status}\n")
        parts.extend(_entry(kind) for kind in kinds)
    return "".join(parts)


def web_page() -> str:
    """Return the page that the gateway shows at `/docs/errors`, where every problem's `type` points."""
    parts = [WEB_HEAD, *(f"<p>{_marked(part)}</p>\n" for part in HEAD.split("\n\n")[1:])]
    for status, kinds in groupby(catalogue(), key=lambda kind: kind.status):
        parts.append(f"<h2>{status}</h2>\n")
        parts.extend(_web_entry(kind) for kind in kinds)
    return "".join([*parts, "</main></body></html>\n"])


def _web_entry(kind: type[ParleyError]) -> str:
    meaning = (kind.__doc__ or kind.title).strip().splitlines()[0]
    title = f'<h3 id="{kind.code}"><a href="#{kind.code}"><code>{kind.code}</code></a></h3>'
    return f"{title}\n<p>{_marked(meaning)}</p>\n<p>What to do: {_marked(kind.remedy)}</p>\n"


def _marked(text: str) -> str:
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(text.strip()))


def _entry(kind: type[ParleyError]) -> str:
    meaning = (kind.__doc__ or kind.title).strip().splitlines()[0]
    return f'\n### <a id="{kind.code}"></a>`{kind.code}`\n\n{meaning}\n\nWhat to do: {kind.remedy}\n'


def _generality(kind: type[ParleyError]) -> tuple[int, str]:
    return len(kind.__mro__), kind.__name__


def _subclasses(kind: type[ParleyError]) -> Iterator[type[ParleyError]]:
    for child in kind.__subclasses__():
        if child.__module__ in MODULES:
            yield child
        yield from _subclasses(child)
