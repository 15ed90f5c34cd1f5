"""The route table: what the gateway passes on, to whom, and what it asks for first. What is not here does not exist."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from parley import errors
from parley.web.middleware import UNMATCHED_ROUTE

Service = Literal["auth", "chat", "history"]
PUBLIC = None
ANY = ""
"""Any valid credential will do."""

MIB = 1_048_576
REQUEST, TURN = 30.0, 330.0
"""Seconds until the first byte of an answer: of most requests, and of those that wait for a model."""
_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*\Z")
"""An id in a path: nothing that could be decoded, resolved or normalised into another path."""


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table. ``scope`` None is public; ``timeout`` is seconds to the first byte; ``max_body`` bytes."""

    methods: frozenset[str]
    template: str
    service: Service
    scope: str | None
    timeout: float = REQUEST
    stream: bool = False
    max_body: int = MIB
    cost: int = 1
    strict: bool = False
    websocket: bool = False
    endless: bool = False


def route(
    methods: str,
    template: str,
    service: Service,
    scope: str | None,
    *,
    timeout: float = REQUEST,
    stream: bool = False,
    max_body: int = MIB,
    cost: int = 1,
    strict: bool = False,
    websocket: bool = False,
    endless: bool = False,
) -> Route:
    """Return a line of the table; ``methods`` are separated by spaces, and GET takes HEAD along."""
    names = frozenset(methods.split())
    if "GET" in names and not websocket:
        names |= {"HEAD"}
    return Route(names, template, service, scope, timeout, stream, max_body, cost, strict, websocket, endless)


def auth_routes() -> list[Route]:
    """Return what goes to auth."""
    base, admin = "/api/v1/auth", "/api/v1/admin"
    return [
        route("GET", "/.well-known/jwks.json", "auth", PUBLIC),
        route("GET", "/.well-known/oauth-authorization-server", "auth", PUBLIC),
        route("POST", f"{base}/register", "auth", PUBLIC, strict=True),
        route("POST", f"{base}/token", "auth", PUBLIC, strict=True),
        route("POST", f"{base}/revoke", "auth", PUBLIC),
        route("POST", f"{base}/password-reset", "auth", PUBLIC, strict=True),
        route("POST", f"{base}/password-reset/request", "auth", PUBLIC, strict=True),
        route("GET", f"{base}/erasures/{{id}}", "auth", PUBLIC),
        route("POST", f"{base}/introspect", "auth", ANY),
        route("GET", f"{base}/me", "auth", ANY),
        route("PATCH DELETE", f"{base}/me", "auth", "account"),
        route("POST", f"{base}/me/password", "auth", "account", strict=True),
        route("GET DELETE", f"{base}/sessions", "auth", "account"),
        route("DELETE", f"{base}/sessions/{{id}}", "auth", "account"),
        route("GET POST", f"{base}/api-keys", "auth", "account"),
        route("DELETE", f"{base}/api-keys/{{id}}", "auth", "account"),
        route("GET", f"{admin}/users", "auth", "admin"),
        route("GET PATCH DELETE", f"{admin}/users/{{id}}", "auth", "admin"),
        route("DELETE", f"{admin}/users/{{id}}/sessions", "auth", "admin"),
        route("POST", f"{admin}/users/{{id}}/password-reset", "auth", "admin"),
        route("GET", f"{admin}/audit", "auth", "admin"),
    ]


def chat_routes() -> list[Route]:
    """Return what goes to chat."""
    base, scope = "/api/v1/chat", "chat:write"
    return [
        route("POST", base, "chat", scope, timeout=TURN, stream=True, strict=True),
        route("POST", f"{base}/stream", "chat", scope, stream=True, strict=True),
        route("GET", f"{base}/ws", "chat", ANY, stream=True, websocket=True),
        route("GET", f"{base}/turns", "chat", scope),
        route("GET", f"{base}/turns/{{id}}", "chat", scope),
        route("GET", f"{base}/turns/{{id}}/stream", "chat", scope, stream=True),
        route("POST", f"{base}/turns/{{id}}/cancel", "chat", scope),
        route("GET", "/api/v1/models", "chat", ANY),
        route("POST", "/v1/chat/completions", "chat", scope, timeout=TURN, stream=True, strict=True),
        route("GET", "/v1/models", "chat", ANY),
    ]


def history_routes() -> list[Route]:
    """Return what goes to history."""
    base, read, write = "/api/v1/conversations", "history:read", "history:write"
    return [
        route("GET", base, "history", read),
        route("POST", f"{base}/import", "history", write, max_body=32 * MIB, cost=5, timeout=120),
        route("GET", f"{base}/{{id}}", "history", read),
        route("PATCH DELETE", f"{base}/{{id}}", "history", write),
        route("GET", f"{base}/{{id}}/messages", "history", read),
        route("GET", f"{base}/{{id}}/export", "history", read),
        route("GET", "/api/v1/search", "history", read),
        route("GET", "/api/v1/usage", "history", read),
        route("GET", "/api/v1/export", "history", read, cost=5, timeout=120),
        route("GET", "/api/v1/events", "history", "events:read", stream=True, endless=True),
    ]


def all_routes() -> list[Route]:
    """Return the whole table."""
    return [*auth_routes(), *chat_routes(), *history_routes()]


class RouteTable:
    """Finds the route of a request: exact paths by a dictionary, the others segment by segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Take the table; raises ValueError when two routes claim one method of a template."""
        self.routes = tuple(routes)
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        for each in self.routes:
            for method in each.methods:
                if (method, each.template) in self._exact:
                    raise ValueError(f"{method} {each.template} is in the table twice")
                self._exact[method, each.template] = each
                if "{" in each.template:
                    segments = each.template.split("/")
                    self._patterns.setdefault((method, len(segments)), []).append((segments, each))

    def find(self, method: str, path: str) -> Route:
        """Return the route; raises NotFound, or MethodNotAllowed with the methods there are."""
        found = self._find(method, path)
        if found is not None:
            return found
        allowed = sorted({m for each in self.routes for m in each.methods if self._find(m, path) is each})
        if allowed:
            raise errors.MethodNotAllowed(headers={"Allow": ", ".join(allowed)})
        raise errors.NotFound

    def _find(self, method: str, path: str) -> Route | None:
        exact = self._exact.get((method, path))
        if exact is not None:
            return None if "{" in path else exact
        segments = path.split("/")
        for pattern, found in self._patterns.get((method, len(segments)), ()):
            if all(map(_fits, pattern, segments)):
                return found
        return None

    def templates(self) -> Iterator[str]:
        """Return the labels that requests are counted under."""
        yield from dict.fromkeys(each.template for each in self.routes)
        yield UNMATCHED_ROUTE


def _fits(pattern: str, segment: str) -> bool:
    return pattern == segment or (pattern.startswith("{") and _SEGMENT.match(segment) is not None)
