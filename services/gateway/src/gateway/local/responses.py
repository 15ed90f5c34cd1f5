"""Responses that the gateway gives itself: CORS preflights, its own pages, and errors."""

from collections.abc import Mapping, Sequence

from gateway.access.cors import Cors
from gateway.access.policy import AccessPolicy
from gateway.http import Header, Send, has_header
from gateway.local.docs_pages import LocalPage, Render, decompressed
from gateway.proxy.compression import accepts_gzip
from gateway.proxy.relaying import send_response
from gateway.proxy.response_headers import ResponseHeaders
from gateway.proxy.websocket import INTERNAL_ERROR, UNAUTHENTICATED, accept_message
from gateway.request import Request
from gateway.route_table import RouteTable
from gateway.routes import route
from parley import errors
from parley.errors import ParleyError
from parley.web import problems
from parley.web.etags import has_current

PAGE_ROUTE = route("GET", "/docs", "auth", None)
"""The route under which preflights and requests for pages and probes count on the limit of the client's address."""
_KEPT_BY_304 = frozenset({b"cache-control", b"content-security-policy", b"etag", b"vary"})
READ_METHODS, PAGE_METHODS = frozenset({"GET", "HEAD"}), "GET, HEAD, OPTIONS"


class LocalResponses:
    """Responds to requests that need no service."""

    def __init__(
        self,
        pages: Mapping[str, Render],
        routes: RouteTable,
        cors: Cors,
        policy: AccessPolicy,
        common: ResponseHeaders,
        *,
        base_url: str,
    ) -> None:
        """``pages`` are by path. The ``type`` of a problem points below ``base_url``."""
        self._pages, self._routes, self._cors, self._policy, self._common = pages, routes, cors, policy, common
        self._base_url = base_url

    async def respond(self, request: Request, send: Send) -> bool:
        """Respond to OPTIONS, a preflight or not, or to a request for a page. Return False for any other request."""
        if request.method == "OPTIONS":
            await self._policy.admit_anonymous(request, PAGE_ROUTE)
            await self._send_options(request, send)
            return True
        render = self._pages.get(request.path)
        if render is None:
            return False
        if request.method not in READ_METHODS:
            raise errors.MethodNotAllowed(headers={"Allow": PAGE_METHODS})
        await self._policy.admit_anonymous(request, PAGE_ROUTE)
        await self._send_page(request, render(), send)
        return True

    async def send_error(self, request: Request, error: ParleyError, send: Send) -> None:
        """Send a problem. If a response has begun, close the connection instead."""
        if request.status:
            if request.cycle is not None:
                request.cycle.abort()
            return
        headers, body = self._problem(request, error)
        if request.body_expected and not has_header(headers, b"connection"):
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await self._send(request, error.status, headers, body, send)

    async def reject_websocket(self, request: Request, error: ParleyError, offered: Sequence[str], send: Send) -> None:
        """Respond to the handshake of a WebSocket with a problem. If it is already open, close it.

        A rejected credential opens the WebSocket and closes it, because browsers do not show the status of a response
        to the page. Clients of OpenAI's API read the status. ``offered`` are the client's subprotocols.
        """
        is_shown = problems.speaks_openai(request.path)
        if isinstance(error, errors.Unauthenticated) and not request.status and not is_shown:
            request.status = error.status
            await send(accept_message(request, offered))
            await send({"type": "websocket.close", "code": UNAUTHENTICATED, "reason": error.code})
            return
        if request.status:
            await send({"type": "websocket.close", "code": INTERNAL_ERROR, "reason": error.code})
            return
        headers, body = self._problem(request, error)
        request.status, request.bytes_sent = error.status, len(body)
        headers = self._common.add(request, headers)
        await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})

    def _problem(self, request: Request, error: ParleyError) -> tuple[list[Header], bytes]:
        body, media_type = problems.error_body(
            error, instance=request.path, request_id=request.request_id, base_url=self._base_url
        )
        headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        headers += [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
        return headers, body

    async def _send_options(self, request: Request, send: Send) -> None:
        allowed = PAGE_METHODS if request.path in self._pages else ", ".join(self._routes.allowed_methods(request.path))
        headers: list[Header] = [(b"allow", allowed.encode())] if allowed else []
        origin = request.used_headers.get(b"origin")
        if origin is not None and b"access-control-request-method" in request.used_headers:
            requested = request.used_headers.get(b"access-control-request-headers", b"")
            headers += self._cors.preflight(origin, requested)
        elif not allowed:
            raise errors.NotFound
        await self._send(request, 204, headers, b"", send)

    async def _send_page(self, request: Request, page: LocalPage, send: Send) -> None:
        if page.status == errors.NotFound.status:
            raise errors.NotFound
        if _is_unchanged(request, page):
            await self._send(request, 304, [pair for pair in page.headers if pair[0] in _KEPT_BY_304], b"", send)
            return
        if not accepts_gzip(request.used_headers.get(b"accept-encoding", b"")):
            page = decompressed(page)
        headers = [*page.headers, (b"content-length", b"%d" % len(page.body))]
        await self._send(request, page.status, headers, page.body, send)

    async def _send(self, request: Request, status: int, headers: list[Header], body: bytes, send: Send) -> None:
        request.status, request.bytes_sent = status, len(body)
        await send_response(request, status, self._common.add(request, headers), body, send)


def _is_unchanged(request: Request, page: LocalPage) -> bool:
    """Return whether the client has the page: ``If-None-Match`` names its ETag."""
    known, etag = request.used_headers.get(b"if-none-match"), dict(page.headers).get(b"etag")
    return known is not None and etag is not None and has_current(known.decode("latin-1"), etag.decode())
