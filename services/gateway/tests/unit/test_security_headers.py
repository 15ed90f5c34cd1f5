"""Security headers and the date on every response of the gateway: of every route, page, error and handshake."""

from collections import Counter
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest

from gateway.http import Header
from gateway.local.account_pages import CONTENT_SECURITY_POLICY as ACCOUNT_PAGE_POLICY
from gateway.local.account_pages import account_pages
from gateway.local.docs_pages import CONTENT_SECURITY_POLICY, docs_pages
from gateway.routes import Route, all_routes
from gateway.security_headers import DEFAULT_HEADERS, HSTS
from gateway.server.request_cycle import error_response
from gateway_testing.pipeline import AsgiClient, TestPipeline, open_pipeline
from parley import errors
from parley.times import now
from parley_testing.http.scripted_server import respond

HTTPS = "https://chat.example"
EXPECTED = {
    "strict-transport-security": HSTS.decode(),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-permitted-cross-domain-policies": "none",
    "x-dns-prefetch-control": "off",
}
ON_EVERY_RESPONSE = {*EXPECTED, "permissions-policy", "content-security-policy", "cache-control", "date"}
PAGES = ["/health", "/ready", *docs_pages(), *account_pages()]
ROUTES = [(method, route) for route in all_routes() if not route.websocket for method in sorted(route.methods)]
SOCKET = "/api/v1/chat/ws"


@pytest.fixture(scope="module")
async def pipeline() -> AsyncIterator[TestPipeline]:
    """The pipeline of all tests that change nothing in it."""
    async with open_pipeline(public_url=HTTPS) as opened:
        yield opened


@pytest.fixture
async def own_pipeline() -> AsyncIterator[TestPipeline]:
    """A pipeline of one test, which may stop and change its services."""
    async with open_pipeline(public_url=HTTPS) as opened:
        yield opened


def path_of(route: Route) -> str:
    return route.template.replace("{id}", "01a200aa-0000-7000-8000-000000000002")


def assert_secure(headers: list[Header]) -> dict[str, str]:
    found = {name.decode(): value.decode() for name, value in headers}
    counts = Counter(name.decode() for name, _ in headers)
    assert {name: counts[name] for name in ON_EVERY_RESPONSE} == dict.fromkeys(ON_EVERY_RESPONSE, 1)
    assert {name: found[name] for name in EXPECTED} == EXPECTED
    return found


def headers_of(response: AsgiClient) -> list[Header]:
    headers: list[Header] = response.sent[0]["headers"]
    return headers


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=lambda value: getattr(value, "template", value))
async def test_every_route_has_them_with_and_without_credentials(
    pipeline: TestPipeline, method: str, route: Route
) -> None:
    body = b"{}" if method in {"POST", "PATCH"} else None
    everything = pipeline.bearer(scope="account admin chat:write events:read history:read history:write")
    for headers in ({}, everything):
        response = await pipeline.request(path_of(route), method=method, headers=headers, body=body)
        assert response.status == (401 if route.scope is not None and not headers else 200)
        assert_secure(headers_of(response))
    wrong = await pipeline.request(path_of(route), method="PROPFIND")
    assert wrong.status == 405
    assert_secure(headers_of(wrong))


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_has_them_and_keeps_its_own_content_security_policy(pipeline: TestPipeline, path: str) -> None:
    for method in ("GET", "HEAD"):
        found = assert_secure(headers_of(await pipeline.request(path, method=method)))
        own = {CONTENT_SECURITY_POLICY.decode(), ACCOUNT_PAGE_POLICY.decode(), DEFAULT_HEADERS[0][1].decode()}
        assert found["content-security-policy"] in own


async def test_errors_and_preflights_have_them(own_pipeline: TestPipeline) -> None:
    bearer = own_pipeline.bearer()
    own_pipeline.limiter.refuses = True
    refused = await own_pipeline.request("/api/v1/models", headers=bearer)
    own_pipeline.limiter.refuses = False
    await own_pipeline.chat.stop()
    unreachable = await own_pipeline.request("/api/v1/models", headers=bearer)
    own_pipeline.limiter.error = RuntimeError("bug")
    broken = await own_pipeline.request("/api/v1/models", headers=bearer)
    own_pipeline.limiter.error = None
    preflight = {"origin": "http://localhost", "access-control-request-method": "POST"}
    responses = [
        refused,
        unreachable,
        broken,
        await own_pipeline.request("/nothing"),
        await own_pipeline.request("/api/v1/models", method="OPTIONS", headers=preflight),
        await own_pipeline.websocket(SOCKET, headers={"origin": "https://evil.example"}),
        await own_pipeline.websocket("/nothing"),
    ]
    assert [response.status for response in responses] == [429, 503, 500, 404, 204, 403, 404]
    for response in responses:
        assert_secure(headers_of(response))


def test_responses_to_invalid_http_have_them() -> None:
    head, _, _ = error_response(errors.InvalidRequest(), HTTPS).partition(b"\r\n\r\n")
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    assert_secure([(name, value) for name, _, value in lines])


async def test_the_date_is_that_of_the_response(pipeline: TestPipeline) -> None:
    before = now().replace(microsecond=0)
    for path in ("/health", "/docs", "/nothing", "/nothing"):
        date = parsedate_to_datetime((await pipeline.request(path)).headers["date"])
        assert before <= date <= now()


async def test_values_of_services_are_replaced_except_for_caching(own_pipeline: TestPipeline) -> None:
    own_pipeline.chat.answer = respond(
        200, b"{}", ("Content-Security-Policy", "default-src *"), ("Strict-Transport-Security", "max-age=0"),
        ("Permissions-Policy", "camera=*"), ("Cache-Control", "private, max-age=60"),
    )  # fmt: skip
    found = assert_secure(headers_of(await own_pipeline.request("/api/v1/models", headers=own_pipeline.bearer())))
    assert found["content-security-policy"] == DEFAULT_HEADERS[0][1].decode()
    assert found["cache-control"] == "private, max-age=60"
    assert "camera=()" in found["permissions-policy"]


async def test_a_gateway_without_https_sends_no_hsts() -> None:
    async with open_pipeline(public_url="http://localhost:8000") as pipeline:
        for path in ("/health", "/api/v1/models"):
            assert "strict-transport-security" not in (await pipeline.request(path)).headers
    assert b"strict-transport-security" not in error_response(errors.InvalidRequest(), "http://localhost:8000")
