"""The replica of a running stream is lost: the gateway continues the stream, and its client notices nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from parley_testing import eventually
from parley_testing.faults import processes
from parley_testing.faults.tcp_proxy import TcpProxy, Toxics
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess

pytestmark = pytest.mark.e2e

TOKENS = 40
WHOLE = " ".join(f"t{i}" for i in range(1, TOKENS + 1))
PROMPT = f"stream [[fake tokens={TOKENS} rate=10]]"
LONG_PROMPT = f"stream [[fake tokens={TOKENS} rate=3]]"
FAULT_TIMEOUT = 60.0


@dataclass
class Replicas:
    """A gateway that reaches each chat through a proxy, and the chats."""

    gateway: ServiceProcess
    proxies: list[TcpProxy]
    chats: list[ServiceProcess]

    def serving(self) -> int:
        """Return the number of the chat whose proxy carries the open stream."""
        (found,) = [number for number, proxy in enumerate(self.proxies) if proxy.open_connections]
        return found


@dataclass
class StreamedAnswer:
    """What one client connection received."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    status: str = ""


@pytest.fixture
async def replicas(separate: SeparateStack) -> AsyncIterator[Replicas]:
    async with contextlib.AsyncExitStack() as opened:
        proxies = [await opened.enter_async_context(TcpProxy("127.0.0.1", chat.port)) for chat in separate.chat]
        urls = ",".join(f"http://127.0.0.1:{proxy.port}" for proxy in proxies)
        gateway = separate.gateways[0].twin("resuming-gateway", CHAT_URL=urls)
        await gateway.start()
        opened.push_async_callback(gateway.stop)
        yield Replicas(gateway, proxies, separate.chat)


@pytest.fixture
async def user(replicas: Replicas) -> AsyncIterator[UserClient]:
    async with open_http(replicas.gateway.url) as http:
        yield await register(http)


async def read_turn(user: UserClient, answer: StreamedAnswer, prompt: str = PROMPT) -> None:
    async for event in user.events("POST", "/api/v1/chat/stream", json={"message": prompt}):
        assert event.name is None, f"the stream was cut: {event}"
        answer.ids.append(int(event.id or 0))
        answer.text += event.data["delta"]
        if event.data["finished"]:
            answer.status = event.data["status"]


async def read_completion(user: UserClient, answer: StreamedAnswer) -> None:
    body: dict[str, Any] = {"model": "default", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    options = {"stream_options": {"include_usage": True}}
    async with user.http.stream("POST", "/v1/chat/completions", json=body | options, headers=user.headers) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                answer.status = "completed"
            elif line.startswith("data: "):
                data = orjson.loads(line.removeprefix("data: "))
                assert "error" not in data, f"the stream was cut: {line}"
                answer.text += "".join(choice["delta"].get("content") or "" for choice in data["choices"])


async def test_streams_whose_connections_are_reset_go_on_without_a_gap_or_a_repeat(
    replicas: Replicas, user: UserClient
) -> None:
    turn, completion = StreamedAnswer(), StreamedAnswer()
    reading = [asyncio.create_task(read_turn(user, turn)), asyncio.create_task(read_completion(user, completion))]
    await eventually(lambda: turn.text and completion.text, within=FAULT_TIMEOUT)
    for proxy in replicas.proxies:
        if proxy.open_connections:
            proxy.cut()
    await asyncio.gather(*reading)
    for answer in (turn, completion):
        assert (answer.text, answer.status) == (WHOLE, "completed")
    assert turn.ids == list(range(1, len(turn.ids) + 1))
    assert await replicas.gateway.metric("gateway_streams_resumed_total", result="resumed") == len(reading)


@pytest.mark.chaos
async def test_a_stream_whose_packets_vanish_goes_on_without_a_gap_or_a_repeat(
    replicas: Replicas, user: UserClient
) -> None:
    answer = StreamedAnswer()
    reading = asyncio.create_task(read_turn(user, answer, LONG_PROMPT))
    await eventually(lambda: answer.text, within=FAULT_TIMEOUT)
    proxy = replicas.proxies[replicas.serving()]
    async with proxy.with_toxics(Toxics(black_hole=True)):
        await reading
    assert proxy.counters.swallowed
    assert (answer.text, answer.status) == (WHOLE, "completed")
    assert answer.ids == list(range(1, len(answer.ids) + 1))


@pytest.mark.chaos
@pytest.mark.parametrize("fault", ["killed", "paused"])
async def test_a_stream_of_a_lost_runner_ends_incomplete_with_the_text_so_far(
    replicas: Replicas, user: UserClient, fault: str
) -> None:
    answer = StreamedAnswer()
    reading = asyncio.create_task(read_turn(user, answer, LONG_PROMPT))
    await eventually(lambda: answer.text, within=FAULT_TIMEOUT)
    chat = replicas.chats[replicas.serving()]
    try:
        if fault == "killed":
            await processes.kill(chat.child, port=chat.port)
            await asyncio.wait_for(reading, FAULT_TIMEOUT)
        else:
            async with processes.frozen(chat.child):
                await asyncio.wait_for(reading, FAULT_TIMEOUT)
    finally:
        if not chat.child.running:
            await chat.start()
    assert answer.status == "incomplete"
    assert answer.text
    assert WHOLE.startswith(answer.text)
    assert answer.ids == list(range(1, len(answer.ids) + 1))
