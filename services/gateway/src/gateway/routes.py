"""Routes: every path that the gateway forwards, its service, and its requirements."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

Service = Literal["auth", "chat", "history", "webhooks"]
PUBLIC = None
ANY = ""
"""Any valid credential is sufficient."""

MIB = 1_048_576
AUTH_MAX_BODY = WEBHOOKS_MAX_BODY = 65_536
"""Maximum body of the routes of auth and of webhooks in bytes; the longest valid body has a third of it."""
FILES_MAX_BODY = 513 * MIB
"""Maximum body of an upload in bytes: the largest file of any plan, and the form around it."""
REQUEST_TIMEOUT, TURN_TIMEOUT = 30.0, 330.0
"""Seconds until the head of the response, on most routes and on routes that wait for a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. ``scope``: None for public; ``timeout``: seconds to the response head; ``max_body``: in bytes.

    ``browser_session``: the route reads the refresh cookie. ``keyed``: the service heeds ``Idempotency-Key``, so that a
    request with a key can be sent twice. ``named``: the last segment of the template is a name that the operator chose
    (see ``route_table.is_name``).
    """

    methods: frozenset[str]
    template: str
    service: Service
    scope: str | None
    timeout: float = REQUEST_TIMEOUT
    stream: bool = False
    max_body: int = MIB
    cost: int = 1
    strict: bool = False
    websocket: bool = False
    endless: bool = False
    browser_session: bool = False
    keyed: bool = False
    named: bool = False


def route(
    methods: str,
    template: str,
    service: Service,
    scope: str | None,
    *,
    timeout: float = REQUEST_TIMEOUT,
    stream: bool = False,
    max_body: int = MIB,
    cost: int = 1,
    strict: bool = False,
    websocket: bool = False,
    endless: bool = False,
    browser_session: bool = False,
    keyed: bool = False,
    named: bool = False,
) -> Route:
    """Return a route. ``methods`` are separated by spaces; GET includes HEAD."""
    names = frozenset(methods.split())
    if "GET" in names and not websocket:
        names |= {"HEAD"}
    return Route(
        methods=names,
        template=template,
        service=service,
        scope=scope,
        timeout=timeout,
        stream=stream,
        max_body=max_body,
        cost=cost,
        strict=strict,
        websocket=websocket,
        endless=endless,
        browser_session=browser_session,
        keyed=keyed,
        named=named,
    )


def auth_routes() -> list[Route]:
    """Return the routes of auth."""
    base, admin = "/api/v1/auth", "/api/v1/admin"
    found = [
        route("GET", "/.well-known/jwks.json", "auth", PUBLIC),
        route("GET", "/.well-known/oauth-authorization-server", "auth", PUBLIC),
        route("POST", f"{base}/register", "auth", PUBLIC, strict=True),
        route("POST", f"{base}/token", "auth", PUBLIC, strict=True, browser_session=True),
        route("POST", f"{base}/revoke", "auth", PUBLIC, browser_session=True),
        route("POST", f"{base}/password-reset", "auth", PUBLIC, strict=True),
        route("POST", f"{base}/password-reset/request", "auth", PUBLIC, strict=True),
        route("POST", f"{base}/email-verification", "auth", PUBLIC, strict=True),
        route("POST", f"{base}/email-verification/request", "auth", "account", strict=True),
        route("GET", f"{base}/erasures/{{id}}", "auth", PUBLIC),
        route("POST", f"{base}/introspect", "auth", ANY),
        route("GET PATCH DELETE", f"{base}/me", "auth", "account"),
        route("POST", f"{base}/me/password", "auth", "account", strict=True),
        route("GET DELETE", f"{base}/sessions", "auth", "account"),
        route("DELETE", f"{base}/sessions/{{id}}", "auth", "account"),
        route("GET POST", f"{base}/api-keys", "auth", "account", keyed=True),
        route("DELETE", f"{base}/api-keys/{{id}}", "auth", "account"),
        route("GET POST", f"{admin}/users", "auth", "admin"),
        route("GET PATCH DELETE", f"{admin}/users/{{id}}", "auth", "admin"),
        route("GET DELETE", f"{admin}/users/{{id}}/sessions", "auth", "admin"),
        route("DELETE", f"{admin}/users/{{id}}/sessions/{{id}}", "auth", "admin"),
        route("POST", f"{admin}/users/{{id}}/password-reset", "auth", "admin"),
        route("GET", f"{admin}/audit", "auth", "admin"),
    ]
    return [replace(each, max_body=AUTH_MAX_BODY) for each in found]


def chat_routes() -> list[Route]:
    """Return the routes of chat."""
    base, scope = "/api/v1/chat", "chat:write"
    return [
        route("POST", base, "chat", scope, timeout=TURN_TIMEOUT, stream=True, strict=True, keyed=True),
        route("POST", f"{base}/stream", "chat", scope, stream=True, strict=True, keyed=True),
        route("GET", f"{base}/ws", "chat", ANY, stream=True, websocket=True),
        route("GET", f"{base}/turns", "chat", scope),
        route("GET", f"{base}/turns/{{id}}", "chat", scope),
        route("GET", f"{base}/turns/{{id}}/stream", "chat", scope, stream=True),
        route("POST", f"{base}/turns/{{id}}/cancel", "chat", scope),
        route("POST", f"{base}/ui", "chat", scope, stream=True, strict=True, keyed=True),
        route("GET", f"{base}/ui/{{id}}/stream", "chat", scope, stream=True),
        route("POST", f"{base}/ui/{{id}}/stop", "chat", scope),
        route("PUT", "/api/v1/conversations/{id}", "chat", scope),
        route("GET", "/api/v1/models", "chat", ANY),
        route("GET", "/api/v1/usage/budget", "chat", "history:read"),
        route("GET", "/api/v1/admin/users/{id}/budget", "chat", "admin"),
        route("GET", "/api/v1/admin/plans", "chat", "admin"),
        route(
            "POST", "/v1/chat/completions", "chat", scope, timeout=TURN_TIMEOUT, stream=True, strict=True, keyed=True
        ),
        route("POST", "/v1/embeddings", "chat", scope, timeout=TURN_TIMEOUT, strict=True),
        route("POST", "/v1/messages", "chat", scope, timeout=TURN_TIMEOUT, stream=True, strict=True, keyed=True),
        route("POST", "/v1/messages/count_tokens", "chat", scope),
        route("POST", "/v1/responses", "chat", scope, timeout=TURN_TIMEOUT, stream=True, strict=True, keyed=True),
        route("POST", "/v1/responses/compact", "chat", scope, timeout=TURN_TIMEOUT, strict=True, keyed=True),
        route("GET", "/v1/responses", "chat", scope, stream=True, websocket=True),
        route("GET DELETE", "/v1/responses/{id}", "chat", scope, stream=True),
        route("POST", "/v1/responses/{id}/cancel", "chat", scope),
        route("GET", "/v1/responses/{id}/input_items", "chat", scope),
        route("POST", "/v1/conversations", "chat", scope, keyed=True),
        route("GET POST", "/v1/conversations/{id}/items", "chat", scope, keyed=True),
        route("GET", "/v1/conversations/{id}/items/{id}", "chat", scope),
        route("GET", "/v1/models", "chat", ANY),
        route("GET", "/v1/models/{id}", "chat", ANY, named=True),
        route("GET", "/api/v1/files/archive", "chat", "chat:write", cost=5, timeout=120),
        *file_routes("/api/v1/files"),
        *file_routes("/v1/files"),
    ]


def file_routes(base: str) -> list[Route]:
    """Return the routes of files, which chat stores. Chat also checks the size limit of the plan."""
    return [
        route("POST", base, "chat", "chat:write", max_body=FILES_MAX_BODY, cost=5, timeout=120),
        route("GET", base, "chat", "chat:write"),
        route("GET DELETE", f"{base}/{{id}}", "chat", "chat:write"),
        route("GET", f"{base}/{{id}}/content", "chat", "chat:write"),
    ]


def history_routes() -> list[Route]:
    """Return the routes of history."""
    base, read, write = "/api/v1/conversations", "history:read", "history:write"
    return [
        route("GET", base, "history", read),
        route("POST", f"{base}/import", "history", write, max_body=32 * MIB, cost=5, timeout=120, keyed=True),
        route("GET", f"{base}/{{id}}", "history", read),
        route("PATCH DELETE", f"{base}/{{id}}", "history", write),
        route("GET", f"{base}/{{id}}/messages", "history", read),
        route("GET", f"{base}/{{id}}/export", "history", read, cost=5, timeout=120),
        route("GET", "/v1/conversations/{id}", "history", read),
        route("POST DELETE", "/v1/conversations/{id}", "history", write),
        route("DELETE", "/v1/conversations/{id}/items/{id}", "chat", write),
        route("GET", "/api/v1/search", "history", read),
        route("GET", "/api/v1/usage", "history", read),
        route("GET", "/api/v1/admin/usage", "history", "admin"),
        route("GET", "/api/v1/export", "history", read, cost=5, timeout=120),
        route("GET", "/api/v1/events", "history", "events:read", stream=True, endless=True),
    ]


def webhook_routes() -> list[Route]:
    """Return the routes of webhooks, which requires the scope `webhooks` or `admin` itself."""
    base = "/api/v1/webhooks"
    found = [
        route("GET POST", base, "webhooks", ANY, keyed=True),
        route("GET PATCH DELETE", f"{base}/{{id}}", "webhooks", ANY),
        route("POST", f"{base}/{{id}}/secret", "webhooks", ANY, strict=True, keyed=True),
        route("POST", f"{base}/{{id}}/test", "webhooks", ANY, cost=5, strict=True),
        route("GET", f"{base}/{{id}}/deliveries", "webhooks", ANY),
        route("POST", f"{base}/{{id}}/deliveries/{{id}}/redeliver", "webhooks", ANY),
        route("POST", f"{base}/{{id}}/redeliver", "webhooks", ANY, cost=5),
    ]
    return [replace(each, max_body=WEBHOOKS_MAX_BODY) for each in found]


def status_routes() -> list[Route]:
    """Return the routes with the state of each service."""
    return [route("GET", f"/api/v1/admin/services/{service}", service, "admin") for service in get_args(Service)]


def all_routes() -> list[Route]:
    """Return all routes."""
    return [*auth_routes(), *chat_routes(), *history_routes(), *webhook_routes(), *status_routes()]
