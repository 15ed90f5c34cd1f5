"""Pages of the documentation: their validators and their compression."""

from collections.abc import AsyncIterator

import pytest

from gateway_testing.pipeline import TestPipeline, open_pipeline

PATHS = ["/", "/docs", "/docs/api", "/docs/errors", "/openapi.json", "/asyncapi.yaml", "/docs/static/portal.css"]


@pytest.fixture
async def pipeline() -> AsyncIterator[TestPipeline]:
    async with open_pipeline() as opened:
        yield opened


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_that_a_browser_has_is_not_sent_again(pipeline: TestPipeline, path: str) -> None:
    first = await pipeline.request(path)
    assert (first.status, first.headers["cache-control"]) == (200, "no-cache")
    known = f'"another", {first.headers["etag"]}'
    for method, named in (("GET", known), ("HEAD", known), ("GET", "*")):
        again = await pipeline.request(path, method=method, headers={"if-none-match": named})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert not {"content-length", "content-encoding"} & set(again.headers)
    changed = await pipeline.request(path, headers={"if-none-match": 'W/"another"'})
    assert (changed.status, changed.body) == (200, first.body)


@pytest.mark.parametrize("path", ["/docs/errors", "/openapi.json", "/asyncapi.yaml"])
async def test_a_long_page_is_compressed_and_its_plain_form_varies_too(pipeline: TestPipeline, path: str) -> None:
    packed = await pipeline.request(path, headers={"accept-encoding": "br, gzip"})
    for refusal in ({}, {"accept-encoding": "gzip;q=0"}):
        plain = await pipeline.request(path, headers=refusal)
        assert "content-encoding" not in plain.headers
        assert len(packed.body) < len(plain.body) / 2
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


async def test_a_page_of_a_mailed_link_is_not_kept(pipeline: TestPipeline) -> None:
    page = await pipeline.request("/reset")
    assert (page.headers["cache-control"], "etag" in page.headers) == ("no-store", False)
