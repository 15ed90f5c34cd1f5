"""Pages behind mailed and printed links."""

import re

import pytest

from gateway.local.account_pages import RESET_PATH, VERIFY_PATH
from gateway_testing.pipeline import open_pipeline


@pytest.mark.parametrize("path", [RESET_PATH, VERIFY_PATH])
async def test_a_link_leads_to_a_page_that_loads_only_its_own_files(path: str) -> None:
    async with open_pipeline() as pipeline:
        page = await pipeline.request(path, method="GET")
        assert page.status == 200
        html = page.body.decode()
        policy = dict(page.sent[0]["headers"])[b"content-security-policy"].decode()
        assert "unsafe" not in policy
        assert not re.search(r"<script>|\son\w+=|style=", html)
        files = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert files == ["docs/static/page.css", "docs/static/account.js"]
        for file in files:
            assert (await pipeline.request(f"/{file}", method="GET")).status == 200


async def test_the_page_takes_no_posted_form() -> None:
    async with open_pipeline() as pipeline:
        assert (await pipeline.request(RESET_PATH, method="POST", body=b"{}")).status == 405
