"""Budgets and token limits of plans."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley.ids import new_id
from parley_testing import eventually

pytestmark = pytest.mark.integration

PLANS = """
default: {tokens_per_day: 300, tokens_per_minute: null}
rich: {}
minute: {tokens_per_minute: 60, usd_per_day: null, usd_per_month: null}
paying: {usd_per_day: "0.001", usd_per_month: null}
narrow: {models: ["other"]}
"""
MODELS = """
models:
  default:
    provider_model: fake
    context_window: 8192
    max_output_tokens: 100
    pricing: {input_per_million: "1", output_per_million: "10"}
"""


@pytest.fixture(scope="module")
async def metered(
    open_replica: OpenReplica, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ChatReplica]:
    folder = tmp_path_factory.mktemp("plans")
    (folder / "plans.yaml").write_text(PLANS)
    (folder / "models.yaml").write_text(MODELS)
    options: dict[str, Any] = {"plans_file": folder / "plans.yaml", "models_file": folder / "models.yaml"}
    async with open_replica(await new_database(), **options) as found:
        yield found


def on_plan(replica: ChatReplica, plan: str) -> Any:
    user = replica.user()
    claims = {**replica.issuer.claims(user.id), "plan": plan}
    user.headers = {"Authorization": f"Bearer {replica.issuer.sign(claims)}"}
    return user


async def spent(replica: ChatReplica, user: ChatUser) -> dict[str, Any]:
    return dict(
        await replica.pool.fetchrow("SELECT * FROM budgets WHERE user_id = $1 AND length(period) = 10", user.id)
    )


async def test_a_reservation_is_settled_with_the_usage(metered: ChatReplica) -> None:
    user = metered.user()
    body = (await user.chat("Hi [[fake tokens=10]]")).json()
    row = await spent(metered, user)
    assert (row["reserved_tokens"], row["reserved_cost"]) == (0, 0)
    assert row["tokens"] == body["tokens_used"]
    assert row["cost"] == Decimal(body["cost"])


async def test_a_prompt_that_is_cancelled_before_the_first_token_is_spent(
    metered: ChatReplica, provider: FakeProvider
) -> None:
    user, mark = metered.user(), str(new_id())
    turn_id = await user.start(f"{mark} [[fake latency_ms=60000]]")
    await eventually(lambda: provider.journal(contains=mark))
    cancelled = (await user.request("POST", f"/api/v1/chat/turns/{turn_id}/cancel")).json()
    assert (cancelled["status"], cancelled["usage"]["completion_tokens"]) == ("cancelled", 0)
    row = await spent(metered, user)
    assert row["tokens"] == cancelled["usage"]["prompt_tokens"] > 0
    assert row["cost"] == Decimal(cancelled["cost"]) > 0
    assert (row["reserved_tokens"], row["reserved_cost"]) == (0, 0)


async def test_fifty_turns_at_once_never_overspend(metered: ChatReplica, provider: FakeProvider) -> None:
    user, mark = metered.user(), str(new_id())
    responses = await asyncio.gather(*(user.chat(f"{mark} [[fake tokens=20 rate=100]]") for _ in range(50)))
    codes = {r.status_code for r in responses}
    assert codes <= {200, 429, 503}  # 503: the process sheds load
    row = await spent(metered, user)
    assert row["tokens"] <= 300 + 20
    assert row["reserved_tokens"] == 0

    async def refusal() -> httpx2.Response | None:
        response = await user.chat(f"{mark} [[fake tokens=20 rate=100]]")
        return response if response.status_code == 429 else None

    refused = await eventually(refusal)
    assert refused.json()["code"] == "quota_exceeded"
    assert refused.json()["error"]["type"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"


async def test_the_remaining_budget_caps_the_answer(metered: ChatReplica) -> None:
    user = on_plan(metered, "paying")
    body = (await user.chat("Hi [[fake tokens=1000]]")).json()
    assert (body["status"], body["finish_reason"]) == ("incomplete", "budget")
    assert 0 < Decimal(body["cost"]) <= Decimal("0.001")


async def test_tokens_per_minute_are_limited(metered: ChatReplica) -> None:
    user = on_plan(metered, "minute")
    assert (await user.chat("Hi [[fake tokens=90]]")).status_code == 200
    response = await user.chat("Hi [[fake tokens=90]]")
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert int(response.headers["retry-after"]) >= 1


async def test_a_plan_may_exclude_models(metered: ChatReplica) -> None:
    user = on_plan(metered, "narrow")
    response = await user.chat("Hi")
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")
    assert (await user.request("GET", "/api/v1/models")).json()["data"] == []


async def test_the_budget_report_shows_what_is_used_and_left(metered: ChatReplica) -> None:
    user = on_plan(metered, "paying")
    body = (await user.chat("Hi [[fake tokens=10]]")).json()
    report = (await user.request("GET", "/api/v1/usage/budget")).json()
    cost = Decimal(body["cost"])
    assert (report["plan"], report["month"]) == ("paying", None)
    day = report["day"]
    assert (day["limit"], day["used"], day["reserved"]) == ("0.001000000", body["cost"], "0.000000000")
    assert Decimal(day["remaining"]) == Decimal("0.001") - cost
    assert day["resets_at"].endswith("T00:00:00.000Z")
    minute = report["tokens_per_minute"]
    assert minute["limit"] == 100_000
    assert minute["remaining"] >= 100_000 - body["tokens_used"]
