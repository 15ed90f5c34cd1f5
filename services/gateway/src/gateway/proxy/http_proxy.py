"""Passing a request on: streamed both ways, nothing kept, and an upstream that stops with its client."""

from collections.abc import Mapping

from gateway.access.streams import Streams
from gateway.proxy import bodies
from gateway.proxy.bodies import Receive
from gateway.proxy.forwarding import Asking, end, let_go
from gateway.proxy.headers import ResponseFilter
from gateway.proxy.relaying import Answers, Respond, Send, is_stream
from gateway.request import Request
from gateway.routes import Route
from gateway.upstream.pool import Pool


class Proxy:
    """Forwards to the pools of the services."""

    def __init__(self, pools: Mapping[str, Pool], streams: Streams, respond: Respond, *, idle_timeout: float) -> None:
        """Take what completes an answer's headers, and the seconds an upstream may be silent inside an answer."""
        self._pools, self._responses = pools, ResponseFilter()
        self._asking, self._answers = Asking(pools), Answers(streams, respond, idle_timeout=idle_timeout)

    async def forward(self, request: Request, route: Route, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back; raises ParleyError before the answer began, ClientGone."""
        body = await bodies.begin(request, route, receive)
        address, connection, helpers = await self._asking.ask(request, route, body, receive)
        if request.trace is not None:
            request.trace.answered(address, connection.status)
        pool = self._pools[route.service]
        headers = self._responses.pairs(connection.headers, connection.nominated)
        if connection.reusable and not helpers:
            status, data = connection.status, connection.take()
            let_go(request, pool, address, connection)
            await self._answers.whole(request, status, headers, data, send)
            return
        pool.free_slot(address, connection)
        try:
            if is_stream(headers):
                await self._answers.stream(request, route, connection, headers, send)
            else:
                await self._answers.pieces(request, connection, headers, send)
        finally:
            await end(helpers, connection)
            let_go(request, pool, address, connection)
