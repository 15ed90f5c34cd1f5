"""The plans that administrators see."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from chat.admission.plans import ChatPlan
from chat_testing.api import client_of
from chat_testing.service_bench import ServiceBench
from parley_testing.security.token_issuer import TestIssuer

PATH = "/api/v1/admin/plans"
ISSUER = TestIssuer()


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    plans = {name: ChatPlan(usd_per_day=None, models=(name,)) for name in ("pro", "basic", "team")}
    async with client_of(ServiceBench(plan=ChatPlan(), plans=plans), ISSUER) as client:
        yield client


async def test_administrators_page_through_the_plans_by_name(http: httpx2.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {ISSUER.token(scope='admin')}"}
    first = (await http.get(f"{PATH}?limit=3", headers=headers)).json()
    assert [plan["name"] for plan in first["data"]] == ["basic", "default", "pro"]
    assert (first["data"][0]["usd_per_day"], first["data"][0]["models"]) == (None, ["basic"])
    assert (first["data"][1]["usd_per_day"], first["data"][1]["tokens_per_minute"]) == ("5.000000000", 100_000)
    rest = (await http.get(f"{PATH}?limit=3&cursor={first['next_cursor']}", headers=headers)).json()
    assert ([plan["name"] for plan in rest["data"]], rest["next_cursor"]) == (["team"], None)
    assert (await http.get(f"{PATH}?cursor=x", headers=headers)).json()["code"] == "invalid_cursor"


async def test_other_callers_do_not_see_the_plans(http: httpx2.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {ISSUER.token()}"}
    assert (await http.get(PATH, headers=headers)).status_code == 403
