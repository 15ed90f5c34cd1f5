"""Revocation in `parley run` while Redis is away."""

from pathlib import Path

import pytest

from fake_provider.process import FakeProvider
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually
from parley_testing.http.client import open_http, register
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

LOCAL_SHARE = "gateway_ratelimit_local 1.0"


async def test_a_token_that_was_logged_out_is_refused_while_redis_is_away(
    provider: FakeProvider, high_limits: dict[str, str], tmp_path: Path
) -> None:
    valkey = EmbeddedValkey(tmp_path / "valkey", durable=False)
    await valkey.start()
    settings = {**high_limits, "REDIS_URL": valkey.url}
    try:
        async with (
            EmbeddedStack(tmp_path, provider.base_url, settings) as stack,
            open_http(stack.url) as http,
        ):
            ended, other = await register(http), await register(http)
            await valkey.stop()
            assert (await ended.request("GET", "/api/v1/models")).status_code == 200
            async with open_http(f"http://127.0.0.1:{stack.admin_port}") as admin:
                assert LOCAL_SHARE in (await admin.get("/metrics")).text
            form = {"token": ended.tokens["refresh_token"]}
            assert (await http.post("/api/v1/auth/revoke", data=form)).status_code == 200

            async def refused() -> bool:
                return (await ended.request("GET", "/api/v1/models")).status_code == 401

            await eventually(refused, within=20)  # results of auth are cached for five seconds
            assert (await other.request("GET", "/api/v1/models")).status_code == 200
    finally:
        await valkey.stop()
