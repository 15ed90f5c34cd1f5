"""Calls that a model's server refuses: what its error says, and the option that some servers do not have."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from chat.catalogue import Target
from chat.generation import AnswerChunk, Prompt
from chat.providers.failures import AttemptFailed
from chat.providers.http_provider import HttpProvider, open_session
from chat.providers.wire_formats import wire_format_of
from chat_testing.parsed_answers import chunk
from chat_testing.response_reads import sse

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
ANSWER = sse(chunk({"content": "a"}), {**chunk({}, "stop"), "usage": USAGE}, "[DONE]")
PROMPT = Prompt([{"role": "user", "content": "Hi"}], 100)
FORBIDDEN = {"type": "extra_forbidden", "loc": ["body", "stream_options", "include_usage"]}
MISTRALS = {"object": "error", "message": {"detail": [FORBIDDEN]}, "type": "invalid_request_error"}


@contextlib.asynccontextmanager
async def served(handler: Handler, refused: set[str] | None = None) -> AsyncIterator[HttpProvider]:
    """Yield the client of a server."""
    app = web.Application()
    app.router.add_post("/chat/completions", handler)
    async with TestServer(app) as server, open_session(2) as session:
        target = Target(str(server.make_url("")).rstrip("/"), None, "compatible")
        yield HttpProvider(session, target, wire_format_of(target), timeout=5, usage_option_refused=refused)


async def answer_of(provider: HttpProvider) -> list[AnswerChunk]:
    return [one async for chunks in provider.stream("m", PROMPT) for one in chunks]


class StrictServer:
    """Refuses an option like Mistral's API, and other requests with ``then``."""

    def __init__(self, then: int = 200) -> None:
        self.options: list[Any] = []
        self._then = then

    async def answer(self, request: web.Request) -> web.Response:
        self.options.append((await request.json()).get("stream_options"))
        if self.options[-1] is not None:
            return web.json_response(MISTRALS, status=422)
        return web.Response(body=ANSWER, content_type="text/event-stream", status=self._then)


async def test_a_server_that_refuses_the_option_for_the_usage_answers_without_it() -> None:
    server, refused = StrictServer(), set[str]()
    async with served(server.answer, refused) as provider:
        for _ in range(2):
            found = await answer_of(provider)
            assert [one.entry.text for one in found if one.entry] == ["a"]
            assert [one.usage.total_tokens for one in found if one.usage] == [5]
    assert server.options == [{"include_usage": True}, None, None]
    assert len(refused) == 1


async def test_a_server_that_refuses_the_call_without_the_option_too_is_asked_for_the_usage_again() -> None:
    server, refused = StrictServer(then=400), set[str]()
    async with served(server.answer, refused) as provider:
        with pytest.raises(AttemptFailed) as failed:
            await answer_of(provider)
    assert (failed.value.failure.code, failed.value.retryable) == ("provider_error", False)
    assert (len(server.options), refused) == (2, set())


class Session:
    """Responds with an error whose body comes in parts."""

    url, status, headers, close = URL("http://model"), 400, dict[str, str](), staticmethod(lambda: None)

    def __init__(self, *parts: bytes) -> None:
        self._parts = [*parts, b""]
        self.content = self

    async def post(self, *_: object, **__: object) -> "Session":
        return self

    async def read(self, limit: int) -> bytes:
        return self._parts.pop(0)[:limit]


async def test_an_error_is_read_to_its_end() -> None:
    target, session = Target("http://model", None), Session(b'{"error":{"code":"context_', b'length_exceeded"}}')
    with pytest.raises(AttemptFailed) as failed:
        await answer_of(HttpProvider(cast("Any", session), target, wire_format_of(target), timeout=5))
    assert failed.value.failure.code == "context_length_exceeded"
