"""Budgets by plan: reserved before, settled after, never overspent."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from parley.ids import new_id

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
async def metered(open_replica: Any, new_database: Any, tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("plans")
    (folder / "plans.yaml").write_text(PLANS)
    (folder / "models.yaml").write_text(MODELS)
    options = {"plans_file": folder / "plans.yaml", "models_file": folder / "models.yaml"}
    async with open_replica(await new_database(), **options) as found:
        yield found


def on_plan(replica: Any, plan: str) -> Any:
    person = replica.person()
    claims = {**replica.issuer.claims(person.id), "plan": plan}
    person.headers = {"Authorization": f"Bearer {replica.issuer.sign(claims)}"}
    return person


async def spent(replica: Any, person: Any) -> dict[str, Any]:
    return dict(
        await replica.pool.fetchrow("SELECT * FROM budgets WHERE user_id = $1 AND length(period) = 10", person.id)
    )


async def test_a_reservation_is_settled_with_what_was_used(metered: Any) -> None:
    person = metered.person()
    body = (await person.chat("Hi [[fake tokens=10]]")).json()
    row = await spent(metered, person)
    assert (row["reserved_tokens"], row["reserved_cost"]) == (0, 0)
    assert row["tokens"] == body["tokens_used"]
    assert row["cost"] == Decimal(body["cost"])


async def test_fifty_turns_at_once_never_overspend(metered: Any, provider: Any) -> None:
    person, mark = metered.person(), str(new_id())
    responses = await asyncio.gather(*(person.chat(f"{mark} [[fake tokens=20 rate=100]]") for _ in range(50)))
    codes = {r.status_code for r in responses}
    assert codes <= {200, 429, 503}
    assert 429 in codes
    refused = next(r for r in responses if r.status_code == 429)
    assert refused.json()["code"] == "quota_exceeded"
    assert refused.json()["error"]["type"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"
    row = await spent(metered, person)
    assert row["tokens"] <= 300 + 20
    assert row["reserved_tokens"] == 0


async def test_what_is_left_caps_the_answer(metered: Any) -> None:
    person = on_plan(metered, "paying")
    body = (await person.chat("Hi [[fake tokens=1000]]")).json()
    assert (body["status"], body["finish_reason"]) == ("incomplete", "budget")
    assert 0 < Decimal(body["cost"]) <= Decimal("0.001")


async def test_tokens_a_minute_are_limited(metered: Any) -> None:
    person = on_plan(metered, "minute")
    assert (await person.chat("Hi [[fake tokens=90]]")).status_code == 200
    response = await person.chat("Hi [[fake tokens=90]]")
    assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
    assert int(response.headers["retry-after"]) >= 1


async def test_a_plan_may_not_use_every_model(metered: Any) -> None:
    person = on_plan(metered, "narrow")
    response = await person.chat("Hi")
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")
    assert (await person.ask("GET", "/api/v1/models")).json()["data"] == []
