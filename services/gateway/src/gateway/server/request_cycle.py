"""One request and its response on a client connection: uvicorn's cycle with cheaper response writes."""

from collections.abc import Callable
from typing import Any, cast

import httptools

from gateway.http import Header, date_header
from gateway.security_headers import DEFAULT_HEADERS, security_headers
from gateway.server.uvicorn_internals import STATUS_LINE, RequestResponseCycle
from parley import errors
from parley.errors import ParleyError
from parley.ids import new_id
from parley.web import problems
from parley.web.middleware import request_id

EXTENSION = "parley.request_cycle"
"""The cycle's key in the ASGI scope's ``extensions``."""


class RequestCycle(RequestResponseCycle):
    """One request on a client connection."""

    on_disconnect: Callable[[], None] | None = None
    hang_up: Callable[[bool], None]
    base_url: str
    is_first: bool = True
    """Whether the connection had no request before."""

    async def send(self, message: Any) -> None:
        """Send an ASGI message. The headers come from the gateway or a parser, so they are not validated again."""
        if message["type"] != "http.response.start" or self.response_started:
            await super().send(message)
            return
        await self.wait_writable()
        if not self.disconnected:
            self.transport.write(self._head(message["status"], message["headers"]))

    async def respond(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a complete response in one write. ``headers`` must contain the content-length."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        head = self._head(status, headers)
        self.transport.write(head if self.scope["method"] == "HEAD" else head + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.hang_up(self.more_body)
        self.on_response()

    async def send_500_response(self) -> None:
        """Respond with a problem to an app that failed or was cancelled. uvicorn would respond in plain text."""
        self.response_started = self.response_complete = True
        if self.disconnected:
            return
        given = request_id(cast("dict[str, Any]", self.scope))
        response = error_response(errors.InternalError(), self.base_url, given, self.scope["path"])
        if self.scope["method"] == "HEAD":
            response = response[: response.index(b"\r\n\r\n") + 4]
        self.transport.write(response)
        self.hang_up(self.more_body)
        self.on_response()

    def _head(self, status: int, headers: list[Header]) -> bytes:
        self.response_started, self.waiting_for_100_continue = True, False
        content = [STATUS_LINE[status]]
        closing = False
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length, self.chunked_encoding = int(value), False
            elif name == b"connection":
                closing = True
            content += (name, b": ", value, b"\r\n")
        bodiless = self.scope["method"] == "HEAD" or status in (204, 304)
        if self.chunked_encoding is None and not bodiless:
            if self.scope["http_version"] == "1.0":
                self._end_body_with_connection()
            else:
                self.chunked_encoding = True
                content.append(b"transfer-encoding: chunked\r\n")
        if closing:
            self.keep_alive = False
        elif not self.keep_alive:
            content.append(b"connection: close\r\n")
        content.append(b"\r\n")
        return b"".join(content)

    def _end_body_with_connection(self) -> None:
        """Prepare a body of unknown length for HTTP/1.0, which has no chunked encoding."""
        self.keep_alive = False
        self.chunked_encoding = False
        self.expected_content_length = _AnyLength()

    def send_part(self, data: bytes) -> None:
        """Send a part of a response body of unknown length. Call ``wait_writable`` first."""
        if not self.disconnected:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked_encoding else data)

    def send_now(self, data: bytes) -> bool:
        """Send a part as ``send_part`` does, unless the client is slow or has left; return whether it was sent."""
        if self.flow.write_paused or self.disconnected:
            return False
        self.send_part(data)
        return True

    async def wait_writable(self) -> None:
        """Wait until the client has read most of what was written."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()

    def abort(self) -> None:
        """Close the connection at once, so that a partial response cannot pass for a complete one."""
        self.disconnected = True
        self.transport.abort()


def complete_scope(scope: dict[str, Any], url: bytes, method: bytes, version: str) -> None:
    """Add the request line to an ASGI scope. The path is not decoded."""
    target = httptools.parse_url(url)
    scope["method"], scope["http_version"] = method.decode("ascii"), version
    scope["path"], scope["raw_path"] = target.path.decode("ascii"), target.path
    scope["query_string"] = target.query or b""


class _AnyLength(int):
    """A content-length that uvicorn's check accepts for every body."""

    def __lt__(self, other: object) -> bool:
        return False

    def __sub__(self, other: object) -> "_AnyLength":
        return self

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def is_done(cycle: RequestResponseCycle | None) -> bool:
    """Return whether there is no request, or its response is complete."""
    return cycle is None or cycle.response_complete


def error_response(error: ParleyError, base_url: str, request_id: str = "", instance: str = "") -> bytes:
    """Return the complete response to a request that no pipeline responds to. The connection closes after it."""
    request_id = request_id or str(new_id())
    body, media_type = problems.error_body(error, instance=instance, request_id=request_id, base_url=base_url)
    head = b"content-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\nconnection: close\r\n" % (
        media_type.encode(),
        len(body),
        request_id.encode(),
    )
    own = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    fields = (*own, date_header(), *security_headers(base_url), *DEFAULT_HEADERS)
    head += b"".join(b"%b: %b\r\n" % pair for pair in fields) + b"\r\n"
    return STATUS_LINE[error.status] + head + body
