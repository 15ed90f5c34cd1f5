"""User names that history asks auth for."""

import json
from collections.abc import Callable

import httpx2
import pytest

from history.usage.auth_client import AuthUsernameSource
from parley.ids import new_id

ADA = new_id()


def client(answer: Callable[[httpx2.Request], httpx2.Response]) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://auth")


async def test_names_are_read_with_the_token_of_the_administrator() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert (request.url.path, request.headers["Authorization"]) == ("/internal/users/names", "Bearer administrator")
        assert json.loads(request.content) == {"user_ids": [str(ADA)]}
        return httpx2.Response(200, json={"names": {str(ADA): "ada"}})

    async with client(answer) as http:
        assert await AuthUsernameSource(http).usernames([ADA], "administrator") == {ADA: "ada"}


@pytest.mark.parametrize(
    "response",
    [
        httpx2.Response(503),
        httpx2.Response(404),
        httpx2.Response(200, content=b"<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"names": None}),
        httpx2.Response(200, json={"names": {"x": "y"}}),
    ],
)
async def test_a_report_has_no_names_while_auth_does_not_answer(response: httpx2.Response) -> None:
    async with client(lambda _: response) as http:
        assert await AuthUsernameSource(http).usernames([ADA], "t") == {}


async def test_a_report_has_no_names_while_auth_cannot_be_reached() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    async with client(refuse) as http:
        assert await AuthUsernameSource(http).usernames([ADA], "t") == {}
