"""``WS /api/v1/chat/ws``: turns over one WebSocket."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from chat.api.dependencies import services_of
from chat.api.request_parsing import parse_cache_policy, parse_cursor, parse_idempotency_key, to_turn_request
from chat.api.socket_protocols import PROTOCOL, offered_token
from chat.api.socket_sender import NO_STATUS, SocketSender
from chat.errors import TooManyOpenTurns, TurnPending
from chat.model import Turn
from chat.protocols.parley.projection import TurnProjection
from chat.protocols.parley.schemas import ChatRequest
from chat.protocols.websocket.projection import frame, turn_frames
from chat.protocols.websocket.schemas import (
    AuthFrame,
    CancelFrame,
    ClientFrame,
    CreateFrame,
    InvalidFrame,
    ResumeFrame,
    parse_frame,
)
from chat.running.turn_updates import StreamInterrupted
from parley.errors import InsufficientScope, InternalError, InvalidJson, ParleyError, Unauthenticated
from parley.process.timeouts import at_most
from parley.security.identity import Principal, authenticate
from parley.times import iso
from parley.web import problems, strict_json
from parley.web.runtime import Runtime
from parley.web.validation import from_validation

log = structlog.get_logger()
router = APIRouter()

PATH = "/api/v1/chat/ws"
ROUTE = "/api/v1/chat"
"""Scope of idempotency keys, shared with ``POST /chat``."""
AUTH_TIMEOUT = 5.0
MAX_TURNS = 20
IDLE_INTERVAL = 3600.0
"""Seconds between idle updates, which this protocol ignores: WebSocket has its own pings."""
GOING_AWAY, INVALID_FRAME, UNAUTHENTICATED, INSUFFICIENT_SCOPE, AUTH_TIMED_OUT = 1001, 4400, 4401, 4403, 4408
RETRY_AFTER_MS = 500


class CloseSocket(Exception):
    """Closes the socket with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@router.websocket(PATH)
async def chat_socket(socket: WebSocket) -> None:
    """Serve one WebSocket until either side closes it."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    session = WebSocketSession(socket)
    try:
        await session.run(offered_token(socket, offered))
    except CloseSocket as close:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close(close.code)
    except (WebSocketDisconnect, TimeoutError):  # the client has left, or reads nothing
        return


class WebSocketSession:
    """One WebSocket: its authenticated principal and the turns it streams."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        services = services_of(socket)
        runtime: Runtime = socket.app.state.runtime
        self._service, self._verifier = services.service, services.verifier
        self._ended_turns = services.ended_turns
        self._drain_started = runtime.lifecycle.drain_started
        self._base_url: str = runtime.settings.issuer()
        self._principal: Principal | None = None
        self._renewed = asyncio.Event()
        self._send = SocketSender(socket).send
        self._turns: set[asyncio.Task[None]] = set()

    async def run(self, token: str | None) -> None:
        """Authenticate, then serve frames until the token expires, the process drains or the client disconnects."""
        await self._begin(token)
        watchers: list[Coroutine[Any, Any, None]] = [self._receive(), self._expire(), self._drain()]
        tasks = [asyncio.create_task(watcher) for watcher in watchers]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, *self._turns):
                task.cancel()
            await asyncio.wait({*tasks, *self._turns})
        for task in done:
            task.result()

    async def _begin(self, token: str | None) -> None:
        try:
            async with at_most(AUTH_TIMEOUT) as wait:
                first = await self._next_frame() if token is None else token
        except InvalidFrame:
            raise CloseSocket(INVALID_FRAME) from None
        if wait.expired:
            raise CloseSocket(AUTH_TIMED_OUT)
        if not isinstance(first, str | AuthFrame):
            raise CloseSocket(UNAUTHENTICATED)
        await self._authenticate(first if isinstance(first, str) else first.token)

    async def _authenticate(self, token: str) -> None:
        try:
            principal = await authenticate(self._verifier, token)
            principal.require("chat:write")
        except InsufficientScope:
            raise CloseSocket(INSUFFICIENT_SCOPE) from None
        except Unauthenticated:
            raise CloseSocket(UNAUTHENTICATED) from None
        except ParleyError:
            raise CloseSocket(GOING_AWAY) from None
        if self._principal is not None and self._principal.user_id != principal.user_id:
            raise CloseSocket(UNAUTHENTICATED)
        self._principal = principal
        self._renewed.set()
        self._socket.scope["parley"].user_id = str(principal.user_id)
        expires_at = iso(datetime.fromtimestamp(principal.expires_at, UTC))
        await self._send(frame("ready", user_id=str(principal.user_id), expires_at=expires_at))

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._next_frame()
            except InvalidFrame as invalid:
                if invalid.ref is None:
                    raise CloseSocket(INVALID_FRAME) from None
                await self._refuse(invalid.ref, invalid.error)
                continue
            if isinstance(message, AuthFrame):
                await self._authenticate(message.token)
            else:
                await self._start(message)

    async def _start(self, message: CreateFrame | ResumeFrame | CancelFrame) -> None:
        if len(self._turns) >= MAX_TURNS:
            await self._refuse(message.ref, TooManyOpenTurns())
            return
        task = asyncio.create_task(self._serve(message))
        self._turns.add(task)
        task.add_done_callback(self._turns.discard)

    async def _serve(self, message: CreateFrame | ResumeFrame | CancelFrame) -> None:
        # A client that reads nothing or has left ends the task; the turn goes on.
        with contextlib.suppress(TimeoutError, WebSocketDisconnect):
            try:
                await self._carry_out(message)
            except ParleyError as error:
                await self._refuse(message.ref, error)
            except (TimeoutError, WebSocketDisconnect):
                raise
            except Exception:
                log.exception("websocket_frame_failed")
                await self._refuse(message.ref, InternalError())

    async def _carry_out(self, message: CreateFrame | ResumeFrame | CancelFrame) -> None:
        if isinstance(message, CancelFrame):
            await self._service.cancel(self._caller.user_id, message.turn_id)
            await self._send(frame("ok", ref=message.ref))
        elif isinstance(message, ResumeFrame):
            await self._resume(message.ref, message.turn_id, parse_cursor(message.after))
        else:
            turn = await self._create(message)
            if turn.running:
                await self._follow(message.ref, turn, 0)
            else:  # the one of an earlier request with this key
                turn_id = turn.id
                del turn
                await self._resume(message.ref, turn_id, 0)

    async def _resume(self, ref: str, turn_id: UUID, after: int) -> None:
        async with self._ended_turns.open(self._service, self._caller.user_id, turn_id) as turn:
            await self._follow(ref, turn, after)

    async def _create(self, message: CreateFrame) -> Turn:
        try:
            body = ChatRequest.model_validate(message.body)
        except ValidationError as error:
            raise from_validation(error.errors(include_input=False), message.body) from None
        key = parse_idempotency_key(message.idempotency_key, self._caller.user_id, ROUTE, body)
        # Not the header of the handshake, to which browsers add their own Cache-Control.
        policy = parse_cache_policy(message.cache_control)
        opened = await self._service.open(to_turn_request(self._socket, self._caller, body, key, policy))
        return opened.turn

    async def _follow(self, ref: str, turn: Turn, after: int) -> None:
        projection = TurnProjection(turn)
        async with contextlib.aclosing(self._service.follow(turn, after, idle_after=IDLE_INTERVAL)) as updates:
            async for update in updates:
                if isinstance(update, StreamInterrupted):
                    raise TurnPending(turn.id)
                for text in turn_frames(ref, projection, update):
                    await self._send(text)

    async def _expire(self) -> None:
        while True:
            remaining = self._caller.expires_at - time.time()
            if remaining <= 0:
                raise CloseSocket(UNAUTHENTICATED)
            self._renewed.clear()
            async with at_most(remaining):
                await self._renewed.wait()

    async def _drain(self) -> None:
        await self._drain_started.wait()
        await self._send(frame("draining", retry_after_ms=RETRY_AFTER_MS))
        raise CloseSocket(GOING_AWAY)

    @property
    def _caller(self) -> Principal:
        assert self._principal is not None
        return self._principal

    async def _refuse(self, ref: str, error: ParleyError) -> None:
        request_id = self._socket.scope["parley"].request_id
        problem = problems.problem_body(error, instance=PATH, request_id=request_id, base_url=self._base_url)
        await self._send(frame("error", ref=ref, problem=problem))

    async def _next_frame(self) -> ClientFrame:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NO_STATUS))
        try:
            return parse_frame(strict_json.loads(message.get("text") or ""))  # a binary frame has no text
        except InvalidJson:
            raise CloseSocket(INVALID_FRAME) from None
