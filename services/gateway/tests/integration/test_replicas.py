"""Several replicas of a service: retries, crashed replicas, and draining ones."""

import asyncio

import pytest

from gateway_testing.running import RunGateway, RunningGateway
from gateway_testing.upstreams import hang, reset
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, Responder, respond, scripted_server

pytestmark = pytest.mark.integration


async def test_idempotent_requests_survive_the_crash_of_a_replica(run_gateway: RunGateway) -> None:
    async with (
        scripted_server() as one,
        scripted_server() as two,
        run_gateway(history_url=f"{one.url},{two.url}") as gateway,
    ):
        statuses: list[int] = []
        headers = [gateway.bearer() for _ in range(40)]

        async def client(number: int) -> None:
            for _ in range(15):
                response = await gateway.client.get("/api/v1/conversations", headers=headers[number])
                statuses.append(response.status_code)

        load = [asyncio.create_task(client(number)) for number in range(20)]
        await eventually(lambda: len(statuses) > 60)
        await one.stop()
        died_at = len(statuses)
        await asyncio.gather(*load)
        assert set(statuses) == {200}
        assert died_at < len(statuses) == 300
        assert one.journal
        assert two.journal


async def half_a_body(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[1, 2")
    await writer.drain()
    writer.close()


async def test_a_short_response_that_breaks_off_is_retried_on_another_replica(run_gateway: RunGateway) -> None:
    async with (
        scripted_server(half_a_body) as one,
        scripted_server() as two,
        run_gateway(history_url=f"{one.url},{two.url}") as gateway,
    ):
        while not one.journal:  # which replica is asked first is random
            response = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer())
            assert (response.status_code, response.json()) == (200, {})


async def test_no_post_is_received_twice_when_a_replica_crashes(run_gateway: RunGateway) -> None:
    async with (
        scripted_server() as one,
        scripted_server() as two,
        run_gateway(chat_url=f"{one.url},{two.url}") as gateway,
    ):
        headers = [gateway.bearer() for _ in range(20)]
        statuses: list[int] = []

        async def client(number: int) -> None:
            for turn in range(10):
                body = {"number": f"{number}-{turn}"}
                response = await gateway.client.post("/api/v1/chat", json=body, headers=headers[number])
                statuses.append(response.status_code)

        load = [asyncio.create_task(client(number)) for number in range(20)]
        await eventually(lambda: len(statuses) > 50)
        hanging: list[RecordedRequest] = []

        async def hang_and_tell(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            hanging.append(seen)
            await hang(seen, writer)

        one.answer = hang_and_tell
        await eventually(lambda: hanging)
        await one.stop()
        await asyncio.gather(*load)
        # The crashed replica may have processed its open requests, so they fail. No other request does.
        assert set(statuses) == {200, 502}
        assert 1 <= statuses.count(502) <= 20
        seen = [bytes(request.body) for upstream in (one, two) for request in upstream.journal if request.complete]
        assert len(seen) == len(set(seen))


@pytest.mark.parametrize("dead", [0, 1])
async def test_a_dead_replica_fails_no_request_even_before_it_is_ejected(run_gateway: RunGateway, dead: int) -> None:
    async with (
        scripted_server() as one,
        scripted_server() as two,
        run_gateway(chat_url=f"{one.url},{two.url}") as gateway,
    ):
        await (one, two)[dead].stop()
        headers = [gateway.bearer() for _ in range(30)]
        # All requests start before the first failure, and the retry budget would allow three retries only.
        posts = [gateway.client.post("/api/v1/chat", json={}, headers=each) for each in headers]
        assert [response.status_code for response in await asyncio.gather(*posts)] == [200] * 30
        assert len((one, two)[1 - dead].journal) == 30


def draining(code: str = "draining") -> Responder:
    body = b'{"status":503,"code":"%b"}' % code.encode()
    headers = {"content-type": "application/problem+json", "retry-after": "1"}
    return respond(503, body, *headers.items())


async def test_requests_refused_by_a_draining_replica_go_to_another_one(run_gateway: RunGateway) -> None:
    async with (
        scripted_server(draining()) as drains,
        scripted_server() as stays,
        run_gateway(chat_url=f"{drains.url},{stays.url}") as gateway,
    ):
        headers = [gateway.bearer() for _ in range(30)]
        posts = [gateway.client.post("/api/v1/chat", json={"a": 1}, headers=each) for each in headers]
        assert [response.status_code for response in await asyncio.gather(*posts)] == [200] * 30
        assert {bytes(seen.body) for seen in stays.journal} == {b'{"a":1}'}
        asked = len(drains.journal)
        for each in headers[:10]:
            assert (await gateway.client.post("/api/v1/chat", json={}, headers=each)).status_code == 200
        # It is asked again once per ejection time, which a busy machine may reach; without memory, every other time.
        assert len(drains.journal) - asked <= 2


async def test_the_refusal_is_relayed_when_all_replicas_drain(run_gateway: RunGateway) -> None:
    async with (
        scripted_server(draining()) as one,
        scripted_server(draining()) as two,
        run_gateway(chat_url=f"{one.url},{two.url}") as gateway,
    ):
        for _ in range(3):
            response = await gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer())
            assert (response.status_code, response.json()["code"]) == (503, "draining")
            assert response.headers["retry-after"] == "1"
        assert 3 <= len(one.journal) + len(two.journal) <= 6


@pytest.mark.parametrize("code", ["overloaded", "dependency_unavailable"])
async def test_any_other_503_is_relayed(run_gateway: RunGateway, code: str) -> None:
    async with (
        scripted_server(draining(code)) as one,
        scripted_server(draining(code)) as two,
        run_gateway(chat_url=f"{one.url},{two.url}") as gateway,
    ):
        response = await gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer())
        assert (response.status_code, response.json()["code"]) == (503, code)
        assert len(one.journal) + len(two.journal) == 1


async def test_a_truncated_or_long_503_does_not_mean_draining(run_gateway: RunGateway) -> None:
    async with run_gateway() as gateway:
        one = gateway.chat
        one.answer = respond(503, b"x" * 100_000)
        response = await gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer())
        assert (response.status_code, len(response.content)) == (503, 100_000)

        async def cut(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 503 X\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{")
            await writer.drain()
            writer.transport.abort()

        one.answer = cut
        response = await gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer())
        assert (response.status_code, response.json()["code"]) == (502, "upstream_error")
        await eventually(lambda: sum(a.active for a in gateway.pool("chat").endpoints) == 0)


async def test_a_post_is_never_sent_twice_unless_it_has_an_idempotency_key(gateway: RunningGateway) -> None:
    gateway.chat.answer = reset
    headers = gateway.bearer()
    await gateway.client.post("/api/v1/chat", json={}, headers=headers)
    assert len(gateway.chat.journal) == 1
    await gateway.client.post("/api/v1/chat", json={}, headers={**headers, "idempotency-key": "k"})
    assert len(gateway.chat.journal) == 3
