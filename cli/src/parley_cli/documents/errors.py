"""docs/errors.md, from the error classes."""

import importlib
from collections.abc import Iterator
from itertools import groupby

from parley.errors import ParleyError

MODULES = (
    "parley.errors",
    "parley.config.plans",
    "parley.web.idempotency_keys",
    "auth.errors",
    "chat.errors",
    "chat.file_errors",
    "history.errors",
    "gateway.errors",
)
HEAD = """# Errors

Parley returns errors as `application/problem+json` (RFC 9457). `code` is stable: use it in programs, and never the
texts, which may change. Use `request_id` to find the request in the logs. `errors[]` names the invalid members of the
request. The `error` object repeats the error in the form that OpenAI's SDKs read; below `/v1` it is the whole body, as
`application/json`. The token endpoints
(`/api/v1/auth/token`, `/revoke`, `/introspect`) return errors in the form of RFC 6749 instead:
`{"error": "invalid_grant", "error_description": "…"}`. What is not about OAuth is a problem there too: JSON in place of
a form (415), too many attempts (429), an outage (503).

A client may retry a request after 408, 429, 502, 503 or 504 once the time in `Retry-After` has passed, unless the
response has the header `x-should-retry: false`.
"""


def catalogue() -> list[type[ParleyError]]:
    """Return one class for each code, sorted by status and code; raise ValueError when a code has two statuses."""
    for module in MODULES:
        importlib.import_module(module)
    found = sorted(_subclasses(ParleyError), key=lambda kind: (kind.code, kind.status, kind.__module__))
    result = []
    for code, kinds in groupby(found, key=lambda kind: kind.code):
        same = list(kinds)
        if len({kind.status for kind in same}) != 1:
            raise ValueError(f"{code} has more than one status")
        result.append(min(same, key=_depth))
    return sorted(result, key=lambda kind: (kind.status, kind.code))


def page() -> str:
    """Render docs/errors.md."""
    parts = [HEAD]
    for status, kinds in groupby(catalogue(), key=lambda kind: kind.status):
        parts.append(f"\n## {status}\n")
        parts.extend(_entry(kind) for kind in kinds)
    return "".join(parts)


def _entry(kind: type[ParleyError]) -> str:
    meaning = (kind.__doc__ or kind.title).strip().splitlines()[0]
    return f'\n### <a id="{kind.code}"></a>`{kind.code}`\n\n{meaning}\n\nWhat to do: {kind.remedy}\n'


def _depth(kind: type[ParleyError]) -> tuple[int, str]:
    return len(kind.__mro__), kind.__name__


def _subclasses(kind: type[ParleyError]) -> Iterator[type[ParleyError]]:
    for child in kind.__subclasses__():
        if child.__module__ in MODULES:
            yield child
        yield from _subclasses(child)
