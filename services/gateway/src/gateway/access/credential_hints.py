"""Hints for requests whose credential is missing or invalid: what was sent instead, recognised by its prefix.

A hint names the place and the kind of a credential, never its value.
"""

import itertools
from collections.abc import Iterator

from gateway.request import Request
from parley import errors

MAX_PLACES = 300
"""Cookies, headers and parameters in which a credential is looked for."""
_JWT, _JWT_DOTS = b"eyJ", 2
"""How a JWT begins, as does other JSON in Base64 (cookies of other programs, cursors), and its dots."""
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"parley_", "an API key"),
    (b"cGFybGV5X", "an API key"),  # in Base64, as by `curl -u`
    (_JWT, "an access token"),
    (b"prt_", "a refresh token"),
    (b"prs_", "a password reset token"),
    (b"sk-", "a key of another provider"),
)
_REMEDIES = {
    "an API key": "Send it as `Authorization: Bearer <key>` or as `X-API-Key: <key>`.",
    "an access token": "Send it as `Authorization: Bearer <token>`.",
    "a refresh token": "Exchange it for an access token at `POST /api/v1/auth/token`.",
    "a password reset token": "It is valid at `POST /api/v1/auth/password-reset` only.",
    "a key of another provider": "Send an access token or an API key of Parley, which begins with `parley_`.",
}
_HEADERS = frozenset({
    b"authorization", b"x-api-key", b"authentication", b"x-auth-token", b"x-access-token", b"x-token", b"token",
    b"access-token", b"api-key", b"apikey", b"api_key", b"x-api-token", b"x-goog-api-key", b"openai-api-key",
    b"x-parley-key", b"x-authorization", b"proxy-authorization",
})  # fmt: skip
"""Headers in which clients send credentials."""


def explain(request: Request, error: errors.Unauthenticated) -> errors.Unauthenticated:
    """Return the error with a detail that names a misplaced credential, if the request has one."""
    found = request.used_headers
    bearer, key = found.get(b"authorization", b""), found.get(b"x-api-key", b"")
    if bearer[:7].lower() == b"bearer " and bearer[7:].lstrip().startswith((b"parley_", _JWT)):
        return error
    if not bearer and key.startswith(b"parley_"):
        return error
    for place, value in itertools.islice(_places(request), MAX_PLACES):
        candidate = value.strip().rpartition(b" ")[2].strip(b"\"'<>")
        for prefix, kind in _KINDS:
            if candidate.startswith(prefix) and (prefix != _JWT or candidate.count(b".") == _JWT_DOTS):
                return type(error)(f"{place} contains {kind}. {_REMEDIES[kind]}")
    return error


def _places(request: Request) -> Iterator[tuple[str, bytes]]:
    """Yield the values that may be a credential, and their places."""
    for name, value in request.headers:
        if name == b"cookie":
            yield from (("A cookie", pair.partition(b"=")[2]) for pair in value.split(b";"))
        elif name in _HEADERS:
            yield f"The header `{name.decode()}`", value
    for pair in request.query.split(b"&"):
        yield "The query string", pair.partition(b"=")[2]
