"""A call of a model, from the request to its journal entry, in either wire format."""

import asyncio
import uuid
from typing import Protocol

import orjson
from starlette.types import Message, Receive, Scope, Send

from fake_provider.answer_builder import ModelAnswer, build_answer
from fake_provider.client_connection import ClientConnection
from fake_provider.errors import RejectedRequestError
from fake_provider.journal import CallJournal, JournalEntry
from fake_provider.knob_resolver import KnobResolver
from fake_provider.knobs import MAX_WAIT_S, InvalidKnobError, Knobs
from fake_provider.reply import CallReply, Renderer
from fake_provider.schemas import ModelRequest, parse_request
from fake_provider.wire_format import AnswerRenderer

MAX_BODY_BYTES = 16 * 1024 * 1024
CALL_TIMEOUT = 3600.0
DISCONNECT_TIMEOUT = 5.0
CLIENT_DISCONNECTED = "client_disconnected"


class ClientDisconnectedError(Exception):
    """The client disconnected before its request was complete."""


class ModelApi(Protocol):
    """Requests and answers of one API."""

    def parse(self, document: object) -> ModelRequest:
        """Return the request of a decoded body, or raise `RejectedRequestError`."""
        ...

    def renderer(self, call_id: str, request: ModelRequest, knobs: Knobs, answer: ModelAnswer) -> Renderer:
        """Return the renderer of an answer."""
        ...

    def refusal(self, error: RejectedRequestError) -> bytes:
        """Render the body of a rejected request."""
        ...


class OpenAIApi:
    """OpenAI's chat completions."""

    parse = staticmethod(parse_request)
    renderer = AnswerRenderer

    def refusal(self, error: RejectedRequestError) -> bytes:
        return error.body()


class ModelEndpoint:
    """ASGI application of one route; benchmarks measure that of OpenAI's format."""

    def __init__(
        self,
        journal: CallJournal,
        resolver: KnobResolver,
        api: ModelApi | None = None,
        *,
        longest_wait: float = MAX_WAIT_S,
    ) -> None:
        self._journal = journal
        self._api = api or OpenAIApi()
        self._resolver = resolver
        self._longest_wait = longest_wait
        self._prefix = f"chatcmpl-{uuid.uuid4().hex[:16]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = self._journal.open(scope["headers"])
        ended = "failed"
        try:
            ended = await self._answer(scope, receive, send, entry)
        except (ClientDisconnectedError, asyncio.CancelledError) as error:
            ended = CLIENT_DISCONNECTED
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._journal.close(entry, ended)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, entry: JournalEntry) -> str:
        connection = ClientConnection(scope, send, entry)
        try:
            body = await _read_body(receive)
            self._journal.store_body(entry, body)
            request = self._api.parse(_decode(body))
            entry.describe(request)
            knobs = self._resolver.resolve(request)
        except RejectedRequestError as refused:
            return await self._refuse(connection, refused)
        except InvalidKnobError as invalid:
            return await self._refuse(
                connection, RejectedRequestError(invalid.message, param=invalid.knob, code="invalid_knob")
            )
        connection.apply_byte_pause(knobs)
        reply = self._reply(connection, request, knobs, entry)
        running = reply.run(stream=bool(request.stream), key=_key(scope))
        if _can_wait(request, knobs):
            return await _until_disconnect(asyncio.ensure_future(running), receive, connection)
        return await running

    def _reply(
        self, connection: ClientConnection, request: ModelRequest, knobs: Knobs, entry: JournalEntry
    ) -> CallReply:
        answer = build_answer(
            knobs,
            question=request.last_user_text,
            limit=request.limit,
            tools=request.tools or (),
            required_call=request.required_call,
        )
        renderer = self._api.renderer(f"{self._prefix}{entry.seq:08x}", request, knobs, answer)
        return CallReply(connection, knobs, answer, renderer, entry, self._longest_wait)

    async def _refuse(self, connection: ClientConnection, refused: RejectedRequestError) -> str:
        headers = [(b"connection", b"close")] if refused.status == 413 else None  # noqa: PLR2004
        await connection.respond(refused.status, self._api.refusal(refused), headers)
        return f"status:{refused.status}"


async def _until_disconnect(running: asyncio.Task[str], receive: Receive, connection: ClientConnection) -> str:
    """Wait for the answer. Stop when the client disconnects."""
    gone = asyncio.ensure_future(_client_disconnect(receive))
    try:
        await asyncio.wait({running, gone}, timeout=CALL_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            if connection.broken:
                await asyncio.wait({gone}, timeout=DISCONNECT_TIMEOUT)
            return running.result()
        if gone.done():
            return CLIENT_DISCONNECTED
        await connection.close()
        return "too_long"
    finally:
        running.cancel()
        gone.cancel()
        await asyncio.wait({running, gone})


async def _client_disconnect(receive: Receive) -> None:
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
        if len(body) > MAX_BODY_BYTES:
            raise RejectedRequestError(f"The request is larger than {MAX_BODY_BYTES} bytes.", status=413)
    return bytes(body)


async def _next_part(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnectedError
    return message


def _decode(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RejectedRequestError(f"We could not parse the JSON body of your request: {error}") from None


def _key(scope: Scope) -> str:
    headers = dict(scope["headers"])
    credential: bytes = headers.get(b"authorization", b"").partition(b" ")[2] or headers.get(b"x-api-key", b"")
    return credential.decode("latin-1")


def _can_wait(request: ModelRequest, knobs: Knobs) -> bool:
    faults = (knobs.stall_after, knobs.cut_after, knobs.byte_ms)
    return bool(request.stream or knobs.rate or knobs.latency_ms or knobs.hang) or faults != (None, None, None)
