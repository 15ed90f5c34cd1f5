"""Services that fail or respond unusually, and the response that the client receives."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.routes import all_routes
from gateway_testing.running import RunGateway, RunningGateway
from gateway_testing.upstreams import hang, reset
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, Responder, respond

pytestmark = pytest.mark.integration


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


async def garbage(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def half_a_head(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
    await writer.drain()
    writer.transport.abort()


async def switching(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc")


@pytest.mark.parametrize("answer", [reset, garbage, half_a_head, switching])
async def test_a_broken_response_is_a_502_and_the_next_request_is_sent_again(
    gateway: RunningGateway, answer: Responder
) -> None:
    headers = gateway.bearer()
    gateway.chat.answer = answer
    response = await gateway.client.post("/api/v1/chat", json={}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (502, "upstream_error")
    assert len(gateway.chat.journal) == 1
    gateway.chat.answer = respond()
    assert (await gateway.client.post("/api/v1/chat", json={}, headers=headers)).status_code == 200


async def test_an_upstream_that_never_answers_is_a_504(run_gateway: RunGateway) -> None:
    async with run_gateway([replace(route, timeout=0.3) for route in all_routes()]) as gateway:
        gateway.chat.answer = hang
        response = await gateway.client.get("/api/v1/models", headers=gateway.bearer())
        assert (response.status_code, response.json()["code"]) == (504, "upstream_timeout")
        await eventually(lambda: gateway.chat.open == 0)


async def test_an_unreachable_upstream_is_a_503(gateway: RunningGateway) -> None:
    await gateway.history.stop()
    response = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer())
    assert (response.status_code, response.json()["code"]) == (503, "dependency_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_five_failures_eject_an_upstream_until_it_recovers(gateway: RunningGateway) -> None:
    headers = gateway.bearer()
    await gateway.history.stop()
    for _ in range(6):
        await gateway.client.get("/api/v1/conversations", headers=headers)
    address = gateway.pool("history").endpoints[0]
    assert address.ejected_until > 0
    await gateway.history.start()

    async def answered() -> bool:
        return bool((await gateway.client.get("/api/v1/conversations", headers=headers)).status_code == 200)

    await eventually(answered, within=20)


async def test_a_truncated_response_is_not_completed(gateway: RunningGateway) -> None:
    async def cut(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[1,2,\r\n"[
                :-2
            ]
        )
        writer.write(b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    gateway.history.answer = cut
    token = gateway.bearer()["authorization"].encode()
    answer = await gateway.send_bytes(
        b"GET /api/v1/conversations HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\n\r\n" % token
    )
    assert not answer.endswith(b"0\r\n\r\n")


async def test_interim_responses_are_skipped_and_bodiless_ones_have_no_body(gateway: RunningGateway) -> None:
    async def early_hints(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n')

    headers = gateway.bearer()
    gateway.history.answer = early_hints
    for _ in range(2):
        response = await gateway.client.get("/api/v1/conversations", headers=headers)
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"1"')
    gateway.history.answer = _raw(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (await gateway.client.delete("/api/v1/conversations/abc", headers=headers)).status_code == 204
    gateway.history.answer = _raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
    for _ in range(3):
        response = await gateway.client.head("/api/v1/conversations", headers=headers)
        assert (response.status_code, response.headers["content-length"], response.content) == (200, "500", b"")
    assert gateway.history.opened <= 2


def _raw(data: bytes) -> Responder:
    async def answer(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


async def test_a_response_that_ends_with_its_connection_is_complete(gateway: RunningGateway) -> None:
    async def until_close(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nabc")
        await writer.drain()
        writer.close()

    gateway.history.answer = until_close
    response = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer())
    assert response.content == b"abc"


async def test_clients_that_disconnect_at_any_moment_leave_no_connection_in_use(gateway: RunningGateway) -> None:
    async def slow(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        for piece in (OK[:20], OK[20:-1], OK[-1:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    gateway.chat.answer = slow
    users = [gateway.bearer()["authorization"].encode() for _ in range(40)]

    async def leave(number: int) -> None:
        request = (
            b"POST /api/v1/chat HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\nContent-Length: 2\r\n\r\n{}"
            % users[number % 40]
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request[: 1 + number * 7 % len(request)] if number % 3 else request)
        await asyncio.sleep(number % 17 * 0.003)
        writer.transport.abort()
        del reader

    for start in range(0, 2000, 100):
        await asyncio.gather(*(leave(number) for number in range(start, start + 100)))
    pool = gateway.pool("chat")
    await eventually(lambda: sum(address.active + address.slots for address in pool.endpoints) == 0, within=20)
    gateway.chat.answer = respond()
    assert (await gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer())).status_code == 200


async def test_requests_above_the_connection_limit_are_queued_and_then_rejected(run_gateway: RunGateway) -> None:
    async with run_gateway(upstream_connections=2, upstream_queue=2) as gateway:
        release = asyncio.Event()

        async def wait(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            await release.wait()
            await respond()(seen, writer)

        gateway.history.answer = wait
        headers = gateway.bearer()
        tasks = [asyncio.create_task(gateway.client.get("/api/v1/conversations", headers=headers)) for _ in range(6)]
        await eventually(lambda: sum(task.done() for task in tasks) == 2)
        shed = [task.result() for task in tasks if task.done()]
        assert {(r.status_code, r.json()["code"]) for r in shed} == {(503, "overloaded")}
        release.set()
        assert [r.status_code for r in await asyncio.gather(*tasks)].count(200) == 4


async def test_slow_requests_of_one_user_leave_connections_to_others(run_gateway: RunGateway) -> None:
    async with run_gateway(upstream_connections=12, upstream_queue=0, rate_limit_burst=3) as gateway:
        release = asyncio.Event()

        async def wait(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            await release.wait()
            await respond()(seen, writer)

        gateway.history.answer = wait
        slow, other = gateway.bearer(), gateway.bearer()
        pool = gateway.pool("history")
        tasks = [asyncio.create_task(gateway.client.get("/api/v1/conversations", headers=slow)) for _ in range(3)]
        await eventually(lambda: sum(endpoint.slots for endpoint in pool.endpoints) == 3)
        # The limit of requests allows another one as soon as a tenth of a second has passed.
        refused = await eventually(lambda: _refusal(gateway, slow, "of your requests wait"))
        assert (refused["code"], refused["status"]) == ("rate_limited", 429)
        tasks.append(asyncio.create_task(gateway.client.get("/api/v1/conversations", headers=other)))
        await eventually(lambda: sum(endpoint.slots for endpoint in pool.endpoints) == 4)
        release.set()
        assert [response.status_code for response in await asyncio.gather(*tasks)] == [200] * 4


async def _refusal(gateway: RunningGateway, headers: dict[str, str], reason: str) -> dict[str, Any] | None:
    problem: dict[str, Any] = (await gateway.client.get("/api/v1/conversations", headers=headers)).json()
    return problem if reason in problem["detail"] else None
