"""Request pipeline: local responses, routing, access, forwarding, draining, and the records of requests."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.pipeline import MAX_PARAMETERS
from gateway_testing.pipeline import AsgiClient, TestPipeline, open_pipeline
from gateway_testing.upstreams import hang
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, respond

MODELS = "/api/v1/models"
STREAM = "/api/v1/chat/stream"
SOCKET = "/api/v1/chat/ws"


@pytest.fixture
async def pipeline() -> AsyncIterator[TestPipeline]:
    async with open_pipeline() as opened:
        yield opened


async def test_a_request_is_forwarded_and_its_response_relayed(pipeline: TestPipeline) -> None:
    pipeline.chat.answer = respond(200, b'{"data":[]}', ("server", "secret"))
    response = await pipeline.request(MODELS, headers={**pipeline.bearer(), "x-request-id": "r1"})
    assert (response.status, response.body) == (200, b'{"data":[]}')
    assert response.headers["ratelimit-policy"] == '"user";q=600;w=60'
    assert response.headers["x-request-id"] == "r1"
    assert "server" not in response.headers
    assert pipeline.chat.journal[0].target == MODELS


async def test_a_body_is_forwarded(pipeline: TestPipeline) -> None:
    response = await pipeline.request("/api/v1/chat", method="POST", headers=pipeline.bearer(), body=b"{}")
    assert response.status == 200
    assert bytes(pipeline.chat.journal[0].body) == b"{}"


async def test_an_announced_body_over_the_limit_is_rejected(pipeline: TestPipeline) -> None:
    headers = {**pipeline.bearer(), "content-length": "1100000"}
    response = await pipeline.request("/api/v1/chat", method="POST", headers=headers)
    assert (response.status, response.code) == (413, "body_too_large")
    assert response.headers["connection"] == "close"
    assert pipeline.chat.journal == []


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/nothing", "GET", 404, "not_found"),
        ("/internal/revocations/check", "POST", 404, "not_found"),
        (MODELS, "PUT", 405, "method_not_allowed"),
        ("/docs", "POST", 405, "method_not_allowed"),
        ("/nothing", "OPTIONS", 404, "not_found"),
        (SOCKET, "GET", 426, "upgrade_required"),
        (MODELS, "GET", 401, "credentials_missing"),
    ],
)
async def test_a_rejected_request_is_a_problem(
    pipeline: TestPipeline, path: str, method: str, status: int, code: str
) -> None:
    response = await pipeline.request(path, method=method)
    assert (response.status, response.code) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["content-length"] == str(len(response.body))


async def test_an_exceeded_limit_is_a_429_with_the_remaining_quota(pipeline: TestPipeline) -> None:
    pipeline.limiter.refuses = True
    response = await pipeline.request(MODELS, headers=pipeline.bearer())
    assert (response.status, response.code) == (429, "rate_limited")
    assert {"retry-after", "ratelimit"} <= response.headers.keys()


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (MODELS, "GET, HEAD, OPTIONS"),
        ("/api/v1/chat", "OPTIONS, POST"),
        ("/api/v1/auth/sessions", "DELETE, GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("*", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
    ],
)
async def test_options_and_405_list_the_methods_of_the_path(pipeline: TestPipeline, path: str, allowed: str) -> None:
    preflight = {"origin": "http://localhost", "access-control-request-method": "POST"}
    for headers in ({}, preflight):
        response = await pipeline.request(path, method="OPTIONS", headers=headers)
        assert (response.status, response.headers["allow"], response.body) == (204, allowed, b"")
    if path != "*":
        wrong = await pipeline.request(path, method="TRACE")
        assert (wrong.status, wrong.headers["allow"]) == (405, allowed)


async def test_pages_are_compressed_for_clients_that_accept_it(pipeline: TestPipeline) -> None:
    path = "/docs/static/swagger-ui.css"
    compressed = await pipeline.request(path, headers={"accept-encoding": "gzip"})
    plain = await pipeline.request(path)
    assert compressed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert len(compressed.body) < len(plain.body)


async def test_a_preflight_is_answered_without_a_service() -> None:
    async with open_pipeline(cors_origins="https://app.example") as pipeline:
        headers = {"origin": "https://app.example", "access-control-request-method": "POST"}
        response = await pipeline.request(MODELS, method="OPTIONS", headers=headers)
        assert (response.status, response.headers["access-control-allow-origin"]) == (204, "https://app.example")
        sdk = {"access-control-request-headers": "authorization, x-stainless-lang"}
        response = await pipeline.request(MODELS, method="OPTIONS", headers=headers | sdk)
        assert "x-stainless-lang" in response.headers["access-control-allow-headers"]
        answer = await pipeline.request(MODELS, headers={"origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


async def test_a_stream_needs_a_lease(pipeline: TestPipeline) -> None:
    user = str(new_id())
    response = await pipeline.request(STREAM, method="POST", headers=pipeline.bearer(sub=user), body=b"{}")
    assert response.status == 200
    assert not pipeline.leases.held
    pipeline.leases.held.update({f"lease-{number}": user for number in range(20)})
    response = await pipeline.request(STREAM, method="POST", headers=pipeline.bearer(sub=user), body=b"{}")
    assert (response.status, response.code) == (429, "too_many_streams")


async def test_requests_are_rejected_after_the_drain_delay() -> None:
    async with open_pipeline(drain_delay=0) as pipeline:
        pipeline.runtime.lifecycle.start_draining()
        response = await pipeline.request(MODELS, headers=pipeline.bearer())
        assert (response.status, response.code) == (503, "draining")
        assert response.headers["connection"] == "close"
    async with open_pipeline(drain_delay=60) as pipeline:
        pipeline.runtime.lifecycle.start_draining()
        response = await pipeline.request(MODELS, headers=pipeline.bearer())
        assert (response.status, response.headers["connection"]) == (200, "close")


async def test_an_unexpected_error_is_a_500(pipeline: TestPipeline, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.limiter.error = RuntimeError("out of order")
    response = await pipeline.request(MODELS, headers=pipeline.bearer())
    assert (response.status, response.code) == (500, "internal_error")
    assert b"out of order" not in response.body
    assert "unhandled_error" in capsys.readouterr().out


async def test_requests_are_recorded_in_the_metrics_and_the_access_log(pipeline: TestPipeline) -> None:
    await pipeline.request(MODELS, headers={**pipeline.bearer(), "x-request-id": "r1"})
    await pipeline.request("/secret-path", headers={"x-request-id": "r2"})
    await pipeline.request("/health")
    one, two = pipeline.log_lines()
    assert (one["event"], one["request_id"], one["route"], one["status"]) == ("request", "r1", MODELS, 200)
    assert one["user"]
    assert one["upstream_ms"] >= 0
    assert (two["request_id"], two["route"], two["status"], two["user"]) == ("r2", "unmatched", 404, None)
    labels = {"http_request_method": "GET", "http_route": MODELS, "http_response_status_code": "200"}
    registry = pipeline.runtime.metrics.registry
    assert registry.get_sample_value("http_server_request_duration_seconds_count", labels) == 1


async def test_a_disconnect_is_recorded_as_499(pipeline: TestPipeline) -> None:
    pipeline.chat.answer = hang
    client = AsgiClient()

    async def disconnect() -> dict[str, str]:
        await eventually(lambda: pipeline.chat.journal)
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "method": "GET", "raw_path": MODELS.encode(), "query_string": b"",
        "headers": [(b"authorization", pipeline.bearer()["authorization"].encode())], "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await pipeline.pipeline(scope, disconnect, client.send)
    assert client.sent == []
    assert [line["status"] for line in pipeline.log_lines()] == [499]


@pytest.mark.parametrize("name", ["idempotency-key", "origin"])
async def test_a_repeated_header_that_two_parties_read_is_refused(pipeline: TestPipeline, name: str) -> None:
    headers = [*pipeline.bearer().items(), (name, "http://localhost"), (name, "http://localhost:1")]
    response = await pipeline.request(MODELS, headers=headers)
    assert (response.status, response.code) == (400, "invalid_request")
    assert pipeline.chat.journal == []


async def test_a_query_string_has_a_bounded_number_of_parameters(pipeline: TestPipeline) -> None:
    headers, parameters = pipeline.bearer(), "&".join(["a=1"] * MAX_PARAMETERS)
    assert (await pipeline.request(f"{MODELS}?{parameters}", headers=headers)).status == 200
    refused = await pipeline.request(f"{MODELS}?{parameters}&a=1", headers=headers)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert len(pipeline.chat.journal) == 1


@pytest.mark.parametrize("failure", [RuntimeError("a closed transport"), asyncio.CancelledError()])
@pytest.mark.parametrize("path", [MODELS, "/nothing"])
async def test_every_failure_inside_the_gateway_is_a_problem_with_the_request_id(
    pipeline: TestPipeline, failure: BaseException, path: str
) -> None:
    pipeline.limiter.error = failure
    response = await pipeline.request(path, headers={**pipeline.bearer(), "x-request-id": "r1"})
    assert (response.status, response.code) == (500, "internal_error")
    assert (response.headers["x-request-id"], response.headers["content-type"]) == ("r1", "application/problem+json")
    assert pipeline.log_lines()[-1]["status"] == 500
    assert (await pipeline.websocket(SOCKET, headers=pipeline.bearer())).code == "internal_error"


async def test_a_cancelled_request_stays_cancelled(pipeline: TestPipeline) -> None:
    async def answer_never(_request: RecordedRequest, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    pipeline.chat.answer = answer_never
    request = asyncio.create_task(pipeline.request(MODELS, headers=pipeline.bearer()))
    await eventually(lambda: pipeline.chat.journal)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


@pytest.mark.parametrize("media_type", ["text/plain; charset=utf-8", "text/html"])
async def test_a_server_error_that_is_no_json_becomes_a_problem(pipeline: TestPipeline, media_type: str) -> None:
    pipeline.chat.answer = respond(500, b"Internal Server Error", ("content-type", media_type))
    response = await pipeline.request(MODELS, headers=pipeline.bearer())
    assert (response.status, response.code) == (502, "upstream_error")
    pipeline.chat.answer = respond(503, b'{"code":"draining"}', ("content-type", "application/problem+json"))
    assert (await pipeline.request(MODELS, headers=pipeline.bearer())).status == 503


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
async def test_a_malformed_idempotency_key_is_refused_on_every_route(pipeline: TestPipeline, key: str) -> None:
    response = await pipeline.request(MODELS, headers={**pipeline.bearer(), "idempotency-key": key})
    assert (response.status, response.code) == (400, "invalid_request")
    assert pipeline.chat.journal == []
