"""The console at `/`: its files, their headers, and the switch."""

import gzip
import re

import pytest

from gateway.local.console_pages import console_pages
from gateway_testing.pipeline import open_pipeline


async def test_the_page_loads_only_files_of_its_own_and_has_nothing_inline() -> None:
    async with open_pipeline() as pipeline:
        page = await pipeline.request("/", method="GET")
        assert (page.status, page.headers["cache-control"]) == (200, "no-cache")
        html = page.body.decode()
        assert not re.search(r"<script>|\son\w+=|style=|<style", html)
        files = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert files
        for file in files:
            answer = await pipeline.request(file, method="GET", headers={"accept-encoding": "gzip"})
            assert (answer.status, "immutable" in answer.headers["cache-control"]) == (200, True)


async def test_the_policy_allows_no_inline_script_no_eval_and_no_other_origin() -> None:
    async with open_pipeline() as pipeline:
        policy = (await pipeline.request("/", method="GET")).headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))


@pytest.mark.parametrize("path", ["/", "/assets/index.js"])
async def test_a_gateway_without_a_console_finds_nothing_at_its_paths(path: str) -> None:
    async with open_pipeline(console="off") as pipeline:
        assert (await pipeline.request(path, method="GET")).status == 404


async def test_a_client_without_gzip_gets_the_same_file() -> None:
    paths = [path for path in console_pages() if path.endswith(".js")]
    async with open_pipeline() as pipeline:
        packed = await pipeline.request(paths[0], method="GET", headers={"accept-encoding": "gzip"})
        plain = await pipeline.request(paths[0], method="GET")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body  # nosemgrep: decompression-bomb - our page


def test_the_first_view_is_small() -> None:
    pages = console_pages()
    html = pages["/"]().body.decode()
    first = [pages[path]() for path in re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)]
    assert sum(len(page.body) for page in first) < 500_000
