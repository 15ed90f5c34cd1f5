"""One request on a client's connection, and its answer: uvicorn's cycle without what each answer would pay for."""

from collections.abc import Callable
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from parley.errors import ParleyError
from parley.ids import new_id
from parley.web import problems


class Exchange(RequestResponseCycle):
    """One request on a connection; in ``scope["extensions"]["parley.exchange"]``."""

    on_gone: Callable[[], None] | None = None
    hang_up: Callable[[bool], None]
    trusted_headers = True

    async def send(self, message: Any) -> None:
        """Send a part of the answer; headers come from our own code or a parser, so they are not searched again."""
        if message["type"] != "http.response.start" or self.response_started:
            await super().send(message)
            return
        await self.writable()
        if not self.disconnected:
            self.transport.write(self._head(message["status"], message["headers"]))

    async def respond(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer in one write; ``headers`` must hold the content-length."""
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

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
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
                self._until_close()
            else:
                self.chunked_encoding = True
                content.append(b"transfer-encoding: chunked\r\n")
        if closing:
            self.keep_alive = False
        elif not self.keep_alive:
            content.append(b"connection: close\r\n")
        content.append(b"\r\n")
        return b"".join(content)

    def _until_close(self) -> None:
        """Send a body whose end is the connection's: HTTP/1.0 knows no chunks."""
        self.keep_alive = False
        self.chunked_encoding = False
        self.expected_content_length = _Unbounded()

    def send_part(self, data: bytes) -> None:
        """Send a part of a begun answer whose length is not known; wait for ``writable`` before."""
        if not self.disconnected:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked_encoding else data)

    async def writable(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()

    def abort(self) -> None:
        """Close the connection at once, so that nobody takes a part for the whole."""
        self.disconnected = True
        self.transport.abort()


class _Unbounded(int):
    """A length that any body has."""

    def __lt__(self, other: object) -> bool:
        return False

    def __sub__(self, other: object) -> "_Unbounded":
        return self

    def __ne__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def refusal(error: ParleyError, base_url: str) -> bytes:
    """Return the whole answer to what cannot become a request; the connection closes behind it."""
    request_id = str(new_id())
    body = orjson.dumps(problems.problem_body(error, instance="", request_id=request_id, base_url=base_url))
    head = (
        b"content-type: application/problem+json\r\ncontent-length: %d\r\nx-request-id: %s\r\n"
        b"connection: close\r\n\r\n" % (len(body), request_id.encode())
    )
    return STATUS_LINE[error.status] + head + body
