"""``WS /v1/responses``: responses over one WebSocket, one after the other. Each is a turn, as over HTTP."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from chat.admission.turn_request import CachePolicy
from chat.api.dependencies import services_of
from chat.api.folded_stream import written_events
from chat.api.openai_responses.checks import check_state
from chat.api.openai_responses.kept_response import KeptResponse, can_follow, kept_input, kept_response
from chat.api.openai_responses.requests import check_request, open_response
from chat.api.request_checks import invalid
from chat.api.socket_protocols import PROTOCOL, offered_token
from chat.api.socket_sender import NO_STATUS, SocketSender
from chat.api.websocket import GOING_AWAY, IDLE_INTERVAL, UNAUTHENTICATED
from chat.errors import ConnectionLimitReached, TooManyOpenTurns
from chat.model import Turn
from chat.protocols.openai_responses.events import ResponseEvents, json_line
from chat.protocols.openai_responses.schemas import ResponseRequest
from chat.protocols.openai_responses.socket_frames import (
    ResponseCreateFrame,
    event_frames,
    parse_responses_frame,
    prepared_frames,
)
from chat.protocols.websocket.schemas import AuthFrame
from chat.running.turn_updates import FROM_START, StreamIdle, TurnFinished
from parley.errors import CredentialsMissing, Draining, ParleyError, TokenExpired, TokenInvalid, Unauthenticated
from parley.ids import new_id
from parley.security.identity import Principal, authenticate
from parley.web.problems import openai_error_frame
from parley.web.runtime import Runtime

router = APIRouter()

PATH = "/v1/responses"
MAX_WAITING = 8
"""Responses that may wait for the one before them."""
MAX_CONNECTION_SECONDS = 3600.0
SERVICE_RESTART = 1012


class CloseWithError(Exception):
    """Sends an error and closes the socket with this code."""

    def __init__(self, code: int, error: ParleyError) -> None:
        super().__init__(code)
        self.code, self.error = code, error


@router.websocket(PATH)
async def responses_socket(socket: WebSocket) -> None:
    """Serve one WebSocket until either side closes it."""
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    session = ResponsesSession(socket)
    try:
        await session.run(offered_token(socket, offered))
    except CloseWithError as close:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            await session.send(openai_error_frame(close.error))
            await socket.close(close.code, close.error.code)
    except (WebSocketDisconnect, TimeoutError):  # the client has left, or reads nothing
        return


class ResponsesSession:
    """One WebSocket: its principal, the frames that wait, and the response that only it has."""

    def __init__(self, socket: WebSocket) -> None:
        runtime: Runtime = socket.app.state.runtime
        self._socket, self._services = socket, services_of(socket)
        self._drain_started = runtime.lifecycle.drain_started
        self.send = SocketSender(socket).send
        self._principal: Principal | None = None
        self._waiting: asyncio.Queue[ResponseCreateFrame] = asyncio.Queue(MAX_WAITING)
        self._responding = asyncio.Lock()
        """Held for one response, and from the decision to close the socket on: no response begins after it.

        It is fair: who closes the socket waits for one response, not for all.
        """
        self._kept: KeptResponse | None = None

    async def run(self, token: str | None) -> None:
        """Authenticate, then serve frames until the process drains, the time is over or the client disconnects."""
        await self._authenticate(token)
        parts: list[Coroutine[Any, Any, None]] = [self._receive(), self._respond(), self._expire(), self._drain()]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            task.result()

    async def _authenticate(self, token: str | None) -> None:
        try:
            if token is None:
                raise CredentialsMissing
            principal = await authenticate(self._services.verifier, token)
            principal.require("chat:write")
            if self._principal is not None and self._principal.user_id != principal.user_id:
                raise TokenInvalid
        except ParleyError as error:
            raise CloseWithError(UNAUTHENTICATED if isinstance(error, Unauthenticated) else GOING_AWAY, error) from None
        self._principal = principal
        self._socket.scope["parley"].user_id = str(principal.user_id)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NO_STATUS))
            try:
                frame = parse_responses_frame(message.get("text"))
                if isinstance(frame, AuthFrame):
                    await self._authenticate(frame.token)
                elif self._waiting.full():
                    raise TooManyOpenTurns
                else:
                    self._waiting.put_nowait(frame)
            except ParleyError as error:
                await self.send(openai_error_frame(error))

    async def _respond(self) -> None:
        while True:
            frame = await self._waiting.get()
            async with self._responding:
                await self._respond_to(frame)

    async def _respond_to(self, frame: ResponseCreateFrame) -> None:
        kept = self._kept if self._kept and self._kept.is_named_by(frame.previous_response_id) else None
        if kept is not None:
            self._kept = None  # it is gone if this response fails
        try:
            _check_transport(frame)
            body = frame if kept is None else kept.continued_by(frame)
            if frame.generate is False:
                await self._prepare(frame, body)
            else:
                await self._create(frame, body, kept)
        except ParleyError as error:
            await self.send(openai_error_frame(error))

    async def _prepare(self, frame: ResponseCreateFrame, body: ResponseRequest) -> None:
        """Check a request and keep its input, for a response that follows it on this connection.

        References are kept as references: what is deleted until then is not copied.
        """
        if frame.conversation is not None:
            raise invalid("/conversation", "unsupported", "Send `conversation` with the response that has an answer.")
        _, model, _ = await check_request(self._caller, self._services, body)
        turn_id = new_id()
        self._kept = kept_input(turn_id, body)
        for text in prepared_frames(turn_id, model.alias, frame):
            await self.send(text)

    async def _create(self, frame: ResponseCreateFrame, body: ResponseRequest, kept: KeptResponse | None) -> None:
        opened = await open_response(
            self._socket,
            self._caller,
            self._services,
            body,
            key=None,
            cache_policy=CachePolicy(),
            shown=None if kept is None else {"previous_response_id": frame.previous_response_id},
        )
        turn = await self._follow(opened.turn)
        if turn is None or not can_follow(turn):
            return
        self._kept = kept_response(turn, body) if frame.store is False else kept or self._kept

    async def _follow(self, turn: Turn) -> Turn | None:
        """Send the events of a turn and return its end, None without one. An unstored turn ends with its reader."""
        service, events, ended = self._services.service, ResponseEvents(turn, write=json_line), None
        try:
            updates = service.follow(turn, FROM_START, idle_after=IDLE_INTERVAL)
            async with contextlib.aclosing(updates):
                async for update in updates:
                    if isinstance(update, TurnFinished):
                        ended = update.turn
                    if not isinstance(update, StreamIdle):
                        for text in event_frames(written_events(events, update)):
                            await self.send(text)
        finally:
            if ended is None and not turn.stored:
                await service.abandon(turn, resumable=False)
        return ended

    async def _expire(self) -> None:
        await asyncio.sleep(MAX_CONNECTION_SECONDS)
        await self._responding.acquire()
        raise CloseWithError(GOING_AWAY, ConnectionLimitReached())

    async def _drain(self) -> None:
        await self._drain_started.wait()
        await self._responding.acquire()
        raise CloseWithError(SERVICE_RESTART, Draining())

    @property
    def _caller(self) -> Principal:
        """The principal. Raise CloseWithError if its token has expired; a response that runs goes on."""
        assert self._principal is not None
        if self._principal.expires_at <= time.time():
            raise CloseWithError(UNAUTHENTICATED, TokenExpired())
        return self._principal


def _check_transport(frame: ResponseCreateFrame) -> None:
    """Raise InvalidRequest for what only HTTP has, and for two states before one of them is replaced."""
    if frame.background:
        raise invalid("/background", "unsupported", "A stored response goes on without its WebSocket: omit this.")
    if frame.stream is False:
        raise invalid("/stream", "unsupported", "A WebSocket always streams. Omit this, or send `POST /v1/responses`.")
    check_state(frame)
