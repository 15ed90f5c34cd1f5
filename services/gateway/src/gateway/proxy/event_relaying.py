"""Event stream relaying: events with backpressure, continued on another replica when theirs is lost."""

from gateway.access.streams import OpenStream, OpenStreams
from gateway.errors import StreamTerminated
from gateway.http import Header, Send, has_header
from gateway.proxy import sse
from gateway.proxy.forwarding import ForwardedRequest, to_problem
from gateway.proxy.response_headers import ResponseHeaders
from gateway.proxy.resuming import StreamResumer
from gateway.proxy.stream_position import (
    StreamPosition,
    ends_moved,
    silence_limit,
    stream_position,
    without_move,
)
from gateway.request import Request
from gateway.routes import Route
from gateway.upstream.failures import StreamMoved, UpstreamFailure
from parley.errors import ParleyError
from parley.web.problems import ErrorFormat, error_format

PING, OPENAI_PING = b": ping\n\n", b": ping\n"
"""Comments while a stream is interrupted. OpenAI's Python client parses a separate comment block as an event."""


class EventRelay:
    """Relays event streams of services to their clients."""

    def __init__(
        self, streams: OpenStreams, common: ResponseHeaders, resumer: StreamResumer, *, idle_timeout: float
    ) -> None:
        """``idle_timeout``: seconds a service may send nothing, unless it announces pings."""
        self._streams, self._common, self._resumer, self._idle_timeout = streams, common, resumer, idle_timeout

    async def relay(
        self, request: Request, route: Route, forwarded: ForwardedRequest, headers: list[Header], send: Send
    ) -> None:
        """Send events while they arrive. A stream that cannot be continued ends with a final event."""
        if not has_header(headers, b"x-accel-buffering"):
            headers.append((b"x-accel-buffering", b"no"))
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        request.status = forwarded.connection.status
        head = self._common.add(request, headers)
        await send({"type": "http.response.start", "status": request.status, "headers": head})
        stream = RelayedStream(
            request, forwarded, send, idle_timeout=self._idle_timeout, shape=error_format(route.template)
        )
        session = request.caller.session if request.caller else None
        with self._streams.watch(OpenStream(session, route.endless, forwarded.end)):
            last = await stream.relay(self._resumer)
        request.bytes_sent += len(last)
        await send({"type": "http.response.body", "body": last if stream.at_boundary else b"", "more_body": False})


class RelayedStream:
    """One event stream."""

    __slots__ = ("_forwarded", "_framer", "_position", "_request", "_send", "_shape", "_silence_limit")

    def __init__(
        self, request: Request, forwarded: ForwardedRequest, send: Send, *, idle_timeout: float, shape: ErrorFormat
    ) -> None:
        self._request, self._forwarded, self._send, self._shape = request, forwarded, send, shape
        self._framer = sse.SseFramer()
        headers = forwarded.connection.headers
        self._position: StreamPosition | None = stream_position(headers, counts=shape != "problem")
        self._silence_limit = silence_limit(headers, default=idle_timeout)

    @property
    def at_boundary(self) -> bool:
        """Whether the client's data ends between two events."""
        return self._framer.at_boundary

    async def relay(self, resumer: StreamResumer) -> bytes:
        """Relay events until the stream ends, and return its last data."""
        position = self._position
        resumption = None
        while True:
            try:
                while await self._send_events():
                    pass
                return self._framer.flush()
            except StreamTerminated as reason:
                return self._final_event(reason)
            except UpstreamFailure as failure:
                problem = to_problem(failure)
                if position is None or not self.at_boundary:
                    return self._final_event(problem)
                resumption = resumption or resumer.begin(self._request, self._forwarded, position)
                try:
                    resumed = await resumption.resume(failure, self._ping)
                except StreamTerminated as reason:
                    return self._final_event(reason)
                if not resumed:
                    return self._final_event(problem, position.cursor)
                self._framer = sse.SseFramer()

    async def _send_events(self) -> bool:
        """Send the complete events that have arrived, and return whether more may follow."""
        request, position = self._request, self._position
        cycle = request.cycle
        if cycle is not None:
            await cycle.wait_writable()
        relay = None if cycle is None else self._relay_now
        data = await self._forwarded.connection.read_body(idle_timeout=self._silence_limit, relay=relay)
        events = self._framer.feed(data) if data else b""
        if not events:
            return bool(data)
        moved = position is not None and ends_moved(events)
        if moved:
            events = without_move(events)
        if position is not None:
            position.record(events)
        request.bytes_sent += len(events)
        if cycle is None:
            await self._send({"type": "http.response.body", "body": events, "more_body": True})
        elif events:  # an empty chunk would end the response
            cycle.send_part(events)
        if moved:
            raise StreamMoved
        return True

    def _relay_now(self, data: bytes) -> bool:
        """Relay received data without a task switch if it is nothing but complete events; return whether it was."""
        request, position = self._request, self._position
        if not self._framer.is_complete(data) or ends_moved(data):
            return False
        if request.cycle is None or not request.cycle.send_now(data):
            return False
        if position is not None:
            position.record(data)
        request.bytes_sent += len(data)
        return True

    def _final_event(self, reason: StreamTerminated | ParleyError, cursor: bytes = b"") -> bytes:
        return sse.final_event(reason, shape=self._shape, cursor=cursor, request_id=self._request.request_id)

    async def _ping(self) -> None:
        """Keep the client's connection alive while its stream is interrupted."""
        ping = PING if self._shape == "problem" else OPENAI_PING
        self._request.bytes_sent += len(ping)
        await self._send({"type": "http.response.body", "body": ping, "more_body": True})
