"""`POST /v1/chat/completions`: one call from its arrival to its journal entry."""

import asyncio
import uuid

import orjson
from starlette.types import Message, Receive, Scope, Send

from fake_provider.answers import build_answer
from fake_provider.client_connection import Connection
from fake_provider.errors import RefusedError
from fake_provider.journal import Entry, Journal
from fake_provider.knob_resolver import KnobChoice
from fake_provider.knobs import MAX_WAIT_S, InvalidKnobError, Knobs
from fake_provider.reply import Reply
from fake_provider.schemas import ChatRequest, parse_request
from fake_provider.wire_format import Renderer

MAX_BODY = 16 * 1024 * 1024
LONGEST_CALL_S = 3600.0
BREAK_S = 5.0
GONE = "client_disconnected"


class ClientGoneError(Exception):
    """The client left before its request was complete."""


class ChatEndpoint:
    """An ASGI application for the one route that has to be fast."""

    def __init__(self, journal: Journal, choice: KnobChoice, *, longest_wait: float = MAX_WAIT_S) -> None:
        self._journal = journal
        self._choice = choice
        self._longest_wait = longest_wait
        self._prefix = f"chatcmpl-{uuid.uuid4().hex[:16]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = self._journal.open(scope["headers"])
        ended = "failed"
        try:
            ended = await self._answer(scope, receive, send, entry)
        except (ClientGoneError, asyncio.CancelledError) as gone:
            ended = GONE
            if isinstance(gone, asyncio.CancelledError):
                raise
        finally:
            self._journal.close(entry, ended)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, entry: Entry) -> str:
        connection = Connection(scope, send, entry)
        try:
            body = await _read_body(receive)
            self._journal.keep_body(entry, body)
            request = parse_request(_decode(body))
            entry.describe(request)
            knobs = self._choice.take(request)
        except RefusedError as refused:
            return await _refuse(connection, refused)
        except InvalidKnobError as invalid:
            return await _refuse(connection, RefusedError(invalid.message, param=invalid.knob, code="invalid_knob"))
        connection.slow_down(knobs)
        reply = self._reply(connection, request, knobs, entry)
        running = reply.run(stream=bool(request.stream), key=_key(scope))
        if _may_wait(request, knobs):
            return await _until_gone(asyncio.ensure_future(running), receive, connection)
        return await running

    def _reply(self, connection: Connection, request: ChatRequest, knobs: Knobs, entry: Entry) -> Reply:
        answer = build_answer(knobs, question=request.last_user_text, limit=request.limit, tools=request.tools or ())
        renderer = Renderer(f"{self._prefix}{entry.seq:08x}", request, knobs, answer)
        return Reply(connection, knobs, answer, renderer, entry, self._longest_wait)


async def _until_gone(running: asyncio.Task[str], receive: Receive, connection: Connection) -> str:
    """Wait for the answer, but stop it as soon as the client leaves."""
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({running, gone}, timeout=LONGEST_CALL_S, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            if connection.broken:
                await asyncio.wait({gone}, timeout=BREAK_S)
            return running.result()
        if gone.done():
            return GONE
        await connection.close()
        return "too_long"
    finally:
        running.cancel()
        gone.cancel()
        await asyncio.wait({running, gone})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_body(receive: Receive) -> bytes:
    message = await _next_part(receive)
    if not message.get("more_body", False):
        return bytes(message.get("body", b""))
    body = bytearray(message.get("body", b""))
    while message.get("more_body", False):
        message = await _next_part(receive)
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise RefusedError(f"The request is larger than {MAX_BODY} bytes.", status=413)
    return bytes(body)


async def _next_part(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message


def _decode(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(f"We could not parse the JSON body of your request: {error}") from None


async def _refuse(connection: Connection, refused: RefusedError) -> str:
    headers = [(b"connection", b"close")] if refused.status == 413 else None  # noqa: PLR2004
    await connection.respond(refused.status, refused.body(), headers)
    return f"status:{refused.status}"


def _key(scope: Scope) -> str:
    credential = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return str(credential.decode("latin-1").partition(" ")[2])


def _may_wait(request: ChatRequest, knobs: Knobs) -> bool:
    faults = (knobs.stall_after, knobs.cut_after, knobs.byte_ms)
    return bool(request.stream or knobs.rate or knobs.latency_ms or knobs.hang) or faults != (None, None, None)
