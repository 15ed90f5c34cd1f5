"""The plan of a user that chat asks auth for, and the budget report of another user."""

from uuid import UUID

import httpx2
import pytest

from chat.admission.budget_report import BudgetReports
from chat.storage.auth_client import AuthPlanLookup
from parley.errors import DependencyUnavailable, NotFound
from parley.ids import new_id

ADA = new_id()


async def plan_of(response: httpx2.Response) -> str | None:
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return response

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://auth") as http:
        found = await AuthPlanLookup(http).plan_of(ADA, "administrator")
    assert requests[0].url.path == f"/api/v1/admin/users/{ADA}"
    assert requests[0].headers["Authorization"] == "Bearer administrator"
    return found


async def test_the_plan_of_a_user_is_read_with_the_token_of_the_administrator() -> None:
    assert await plan_of(httpx2.Response(200, json={"plan": "gold"})) == "gold"


async def test_an_account_that_does_not_exist_has_no_plan() -> None:
    assert await plan_of(httpx2.Response(404)) is None


@pytest.mark.parametrize("response", [httpx2.Response(503), httpx2.Response(200, json=[]), httpx2.Response(302)])
async def test_a_failure_of_auth_is_a_dependency_that_is_unavailable(response: httpx2.Response) -> None:
    with pytest.raises(DependencyUnavailable):
        await plan_of(response)


class NoAccounts:
    """Knows no account."""

    def __init__(self) -> None:
        self.asked: list[UUID] = []

    async def plan_of(self, user_id: UUID, token: str) -> str | None:
        assert token == "t"
        self.asked.append(user_id)
        return None


async def test_the_budget_of_an_unknown_or_malformed_user_is_not_found() -> None:
    accounts = NoAccounts()
    reports = BudgetReports(None, None, accounts)  # type: ignore[arg-type]  # neither is reached
    for user_id in (ADA, None):
        with pytest.raises(NotFound):
            await reports.report_of_user(user_id, "t")
    assert accounts.asked == [ADA]
