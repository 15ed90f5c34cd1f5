"""HTTP proxy: one request forwarded to a service, and its response relayed to the client."""

import contextlib
from collections.abc import Mapping

from gateway.access.streams import OpenStreams
from gateway.errors import UpstreamBroken
from gateway.http import Receive, Send
from gateway.proxy import bodies
from gateway.proxy.event_relaying import EventRelay
from gateway.proxy.forwarding import RequestForwarder, is_repeatable
from gateway.proxy.headers import response_headers
from gateway.proxy.held_responses import HeldResponses
from gateway.proxy.relaying import ResponseRelay, is_json
from gateway.proxy.response_headers import ResponseHeaders
from gateway.proxy.resuming import StreamResumer
from gateway.proxy.sse import is_event_stream
from gateway.proxy.unanswered_requests import UnansweredRequests
from gateway.request import Request
from gateway.routes import Route
from gateway.upstream.pool import Pool

SERVER_ERROR = 500
"""The first status of errors of a service. Those without JSON come from its server, or from a proxy before it."""


class HttpProxy:
    """Forwards requests and relays responses."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        streams: OpenStreams,
        common: ResponseHeaders,
        resumer: StreamResumer,
        *,
        connections: int,
        idle_timeout: float,
    ) -> None:
        """Divide the ``connections`` to one address of a service between users.

        ``idle_timeout``: seconds a service may send nothing inside a response.
        """
        self._unanswered = UnansweredRequests(connections)
        self._forwarder = RequestForwarder(pools)
        self._relay = ResponseRelay(common, idle_timeout=idle_timeout)
        self._held = HeldResponses()
        self._events = EventRelay(streams, common, resumer, idle_timeout=idle_timeout)

    async def handle(self, request: Request, route: Route, receive: Receive, send: Send) -> None:
        """Forward a request and relay the response. Before the response starts, raise ParleyError.

        Raise ClientDisconnected when the client closes its connection first.
        """
        body = await bodies.receive_first(request, route, receive)
        repeatable = is_repeatable(request, route, body)
        if not repeatable:
            self._held.require_room(request.caller)
        # A stream and an upload need no slot of the pool.
        counted = contextlib.nullcontext() if route.stream or body.more else self._unanswered.count(request.caller)
        with counted:
            forwarded = await self._forwarder.forward(request, route, body, receive)
        endpoint, connection = forwarded.endpoint, forwarded.connection
        if request.trace is not None:
            request.trace.record_response(endpoint.host, endpoint.port, connection.status)
        headers = response_headers(connection.headers, connection.connection_options)
        if connection.status >= SERVER_ERROR and not is_json(headers):
            await forwarded.stop_tasks()
            connection.abort()
            forwarded.release(request)
            raise UpstreamBroken
        if connection.reusable and not forwarded.tasks:
            status, data = connection.status, connection.take_buffered()
            forwarded.release(request)
            await self._relay.relay_complete(request, status, headers, data, send)
            return
        forwarded.pool.release_slot(endpoint, connection)
        try:
            if is_event_stream(headers):
                await self._events.relay(request, route, forwarded, headers, send)
            else:
                with self._held.hold(request.caller, headers, repeatable=repeatable):
                    await self._relay.relay_streamed(request, connection, headers, send)
        finally:
            await forwarded.stop_tasks()
            forwarded.release(request)
