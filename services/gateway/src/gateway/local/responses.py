"""Answers of the gateway's own: preflights, pages, and what went wrong."""

import orjson

from gateway.access.cors import Cors
from gateway.access.policy import Guard
from gateway.local.docs_pages import Page, Pages, unpacked
from gateway.proxy.headers import Header
from gateway.proxy.relaying import Send, send_whole
from gateway.proxy.response_headers import CommonHeaders
from gateway.request import Request
from gateway.routes import route
from parley import errors
from parley.errors import ParleyError
from parley.web import problems
from parley.web.middleware import QUIET_ROUTES

PAGE = route("GET", "/docs", "auth", None)
"""Stands for our own pages where a route is asked for: they count on the address."""
GET = frozenset({"GET", "HEAD"})


class OwnAnswers:
    """Answers what no service is asked."""

    def __init__(self, pages: Pages, cors: Cors, guard: Guard, common: CommonHeaders, *, base_url: str) -> None:
        """Take the parts; errors are described at ``base_url``."""
        self._pages, self._cors, self._guard, self._common = pages, cors, guard, common
        self._base_url = base_url

    async def answer(self, request: Request, send: Send) -> bool:
        """Answer a preflight or a page of ours; say whether it was one."""
        render = self._pages.find(request.path)
        if request.method == "OPTIONS":
            await self._answer_options(request, send)
            return True
        if render is None:
            return False
        if request.method not in GET:
            raise errors.MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        if request.path not in QUIET_ROUTES:
            await self._guard.admit_anonymous(request, PAGE)
        await self._answer_page(request, render(), send)
        return True

    async def _answer_options(self, request: Request, send: Send) -> None:
        origin, method = request.found.get(b"origin"), request.found.get(b"access-control-request-method")
        if origin is None or method is None:
            raise errors.MethodNotAllowed(headers={"Allow": "GET, HEAD, POST, PATCH, DELETE"})
        await self._send(request, 204, self._cors.preflight(origin), b"", send)

    async def _answer_page(self, request: Request, page: Page, send: Send) -> None:
        if page.status == errors.NotFound.status:
            raise errors.NotFound
        if b"gzip" not in request.found.get(b"accept-encoding", b""):
            page = unpacked(page)
        headers = [*page.headers, (b"content-length", b"%d" % len(page.body))]
        await self._send(request, page.status, headers, page.body, send)

    async def refuse(self, request: Request, error: ParleyError, send: Send) -> None:
        """Answer with what went wrong; an answer that has begun can only be cut."""
        if request.status:
            if request.exchange is not None:
                request.exchange.abort()
            return
        body = orjson.dumps(
            problems.problem_body(error, instance=request.path, request_id=request.request_id, base_url=self._base_url)
        )
        headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        headers += [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        if request.body_expected and not any(name == b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await self._send(request, error.status, headers, body, send)

    async def _send(self, request: Request, status: int, headers: list[Header], body: bytes, send: Send) -> None:
        request.status, request.sent = status, len(body)
        await send_whole(request, status, self._common.complete(request, headers), body, send)
