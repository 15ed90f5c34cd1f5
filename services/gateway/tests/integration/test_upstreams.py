"""Upstreams that fail in every way, and what clients see of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.routes import all_routes
from gateway_testing.running import RunGateway, RunningGateway
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, Responder, respond, scripted_server

pytestmark = pytest.mark.integration

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


async def hang(_seen: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def reset(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def garbage(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def half_a_head(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
    await writer.drain()
    writer.transport.abort()


async def switching(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc")


@pytest.mark.parametrize("answer", [reset, garbage, half_a_head, switching])
async def test_an_upstream_that_breaks_is_a_502_and_is_asked_again_next_time(
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


async def test_an_upstream_that_is_not_there_is_a_503(gateway: RunningGateway) -> None:
    await gateway.history.stop()
    response = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer())
    assert (response.status_code, response.json()["code"]) == (503, "dependency_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_after_five_failures_an_upstream_is_left_alone_and_comes_back(gateway: RunningGateway) -> None:
    headers = gateway.bearer()
    await gateway.history.stop()
    for _ in range(6):
        await gateway.client.get("/api/v1/conversations", headers=headers)
    address = gateway.pool("history").endpoints[0]
    assert address.ejected_until > 0
    await gateway.history.start()

    async def answered() -> bool:
        return bool((await gateway.client.get("/api/v1/conversations", headers=headers)).status_code == 200)

    await eventually(answered, within=5)


async def test_a_cut_answer_is_no_whole_answer(gateway: RunningGateway) -> None:
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


async def test_a_request_that_may_be_repeated_survives_the_death_of_one_replica(run_gateway: RunGateway) -> None:
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


async def test_a_short_answer_that_breaks_off_is_asked_for_elsewhere(run_gateway: RunGateway) -> None:
    async with (
        scripted_server(half_a_body) as one,
        scripted_server() as two,
        run_gateway(history_url=f"{one.url},{two.url}") as gateway,
    ):
        for _ in range(4):
            response = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer())
            assert (response.status_code, response.json()) == (200, {})
        assert one.journal


async def test_two_replicas_never_see_one_post_twice_when_one_of_them_dies(run_gateway: RunGateway) -> None:
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
        await eventually(lambda: len(hanging) >= 5)
        await one.stop()
        await asyncio.gather(*load)
        # What was under way at the dead one may have been carried out, so it fails; nothing else does.
        assert set(statuses) == {200, 502}
        assert 5 <= statuses.count(502) <= 20
        seen = [bytes(request.body) for upstream in (one, two) for request in upstream.journal if request.complete]
        assert len(seen) == len(set(seen))


@pytest.mark.parametrize("dead", [0, 1])
async def test_a_dead_replica_costs_no_request_even_when_there_are_few(run_gateway: RunGateway, dead: int) -> None:
    async with (
        scripted_server() as one,
        scripted_server() as two,
        run_gateway(chat_url=f"{one.url},{two.url}") as gateway,
    ):
        await (one, two)[dead].stop()
        headers = [gateway.bearer() for _ in range(30)]
        # All at once: nobody knows yet, and the budget of retries would be three.
        posts = [gateway.client.post("/api/v1/chat", json={}, headers=each) for each in headers]
        assert [response.status_code for response in await asyncio.gather(*posts)] == [200] * 30
        assert len((one, two)[1 - dead].journal) == 30


def draining(code: str = "draining") -> Responder:
    body = b'{"status":503,"code":"%b"}' % code.encode()
    headers = {"content-type": "application/problem+json", "retry-after": "1"}
    return respond(503, body, *headers.items())


async def test_what_a_draining_replica_refuses_goes_to_the_other_and_nothing_more_does(run_gateway: RunGateway) -> None:
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
        assert len(drains.journal) == asked, "it said that it leaves"


async def test_when_all_replicas_drain_their_answer_is_passed_on(run_gateway: RunGateway) -> None:
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
async def test_any_other_503_is_passed_on(run_gateway: RunGateway, code: str) -> None:
    async with (
        scripted_server(draining(code)) as one,
        scripted_server(draining(code)) as two,
        run_gateway(chat_url=f"{one.url},{two.url}") as gateway,
    ):
        response = await gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer())
        assert (response.status_code, response.json()["code"]) == (503, code)
        assert len(one.journal) + len(two.journal) == 1


async def test_a_503_that_is_cut_or_long_is_no_word_of_draining(run_gateway: RunGateway) -> None:
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


async def test_interim_answers_are_skipped_and_answers_without_a_body_have_none(gateway: RunningGateway) -> None:
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


async def test_an_answer_that_ends_with_its_connection_is_whole(gateway: RunningGateway) -> None:
    async def until_close(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nabc")
        await writer.drain()
        writer.close()

    gateway.history.answer = until_close
    response = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer())
    assert response.content == b"abc"


async def test_a_large_upload_is_passed_on_while_it_comes(gateway: RunningGateway) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"x" * 65_536
        async with asyncio.timeout(5):
            await eventually(lambda: gateway.history.journal and gateway.history.journal[-1].body)
        for _ in range(200):
            sent += 65_536
            yield b"x" * 65_536

    response = await gateway.client.post(
        "/api/v1/conversations/import", content=body(), headers={**gateway.bearer(), "content-type": "application/json"}
    )
    assert response.status_code == 200
    assert len(gateway.history.journal[-1].body) == sent + 65_536


async def test_a_body_over_the_limit_is_refused_announced_or_not(gateway: RunningGateway) -> None:
    headers = {**gateway.bearer(), "content-type": "application/json"}
    announced = await gateway.client.post("/api/v1/chat", content=b"x" * 1_100_000, headers=headers)
    assert (announced.status_code, announced.json()["code"]) == (413, "body_too_large")
    assert gateway.chat.journal == []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 65_536

    counted = await gateway.client.post("/api/v1/chat", content=body(), headers=headers)
    assert (counted.status_code, counted.json()["code"]) == (413, "body_too_large")
    await eventually(lambda: gateway.chat.open == 0)


async def test_many_clients_that_leave_at_any_moment_leave_nothing_in_use(gateway: RunningGateway) -> None:
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
    await eventually(lambda: sum(address.active + address.slots for address in pool.endpoints) == 0, within=2)
    gateway.chat.answer = respond()
    assert (await gateway.client.post("/api/v1/chat", json={}, headers=gateway.bearer())).status_code == 200


async def test_more_requests_than_connections_wait_a_little_and_then_are_shed(run_gateway: RunGateway) -> None:
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
