"""Refresh token rotation, retries and reuse detection."""

import asyncio
import hashlib

import pytest

from auth_testing.app import MakeSettings, RunningAuth, StartAuth

pytestmark = pytest.mark.integration

ME = "/api/v1/auth/me"


async def test_a_refresh_gives_new_tokens_of_the_same_session(auth: RunningAuth) -> None:
    person = await auth.person()
    before = person.claims
    found = await person.refresh()
    assert found.status_code == 200
    assert found.json()["refresh_token"] != person.tokens["refresh_token"]
    person.tokens = found.json()
    assert {k: person.claims[k] for k in ("sid", "sub", "auth_time")} == {
        k: before[k] for k in ("sid", "sub", "auth_time")
    }
    assert person.claims["jti"] != before["jti"]
    assert (await person.call("GET", ME)).status_code == 200


async def test_a_retry_after_a_lost_response_returns_the_same_successor(auth: RunningAuth) -> None:
    person = await auth.person()
    answers = [(await person.refresh()).json()["refresh_token"] for _ in range(3)]
    assert len(set(answers)) == 1
    assert (await person.refresh(answers[0])).status_code == 200


@pytest.mark.chaos
async def test_twenty_clients_that_race_two_hundred_times_stay_logged_in(auth: RunningAuth) -> None:
    person = await auth.person()
    token = person.tokens["refresh_token"]
    for _ in range(20):
        answers = await asyncio.gather(*(person.refresh(token) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        successors = {answer.json()["refresh_token"] for answer in answers}
        assert len(successors) == 1
        token = successors.pop()
    rows = await auth.rows("SELECT count(*) AS n FROM refresh_tokens WHERE session_id = $1", person.claims["sid"])
    assert rows[0]["n"] == 21


async def test_reuse_of_a_token_after_its_successor_was_used_ends_the_session(auth: RunningAuth) -> None:
    person = await auth.person()
    first = person.tokens["refresh_token"]
    second = (await person.refresh(first)).json()["refresh_token"]
    third = (await person.refresh(second)).json()["refresh_token"]
    assert (await person.refresh(first)).json()["error"] == "invalid_grant"
    for token in (first, second, third):
        assert (await person.refresh(token)).json()["error"] == "invalid_grant"
    assert (await person.call("GET", ME)).json()["code"] == "session_revoked"
    name, data = (await auth.events(person.id))[-1]
    assert (name, data["reason"], data["session_id"]) == ("session.revoked", "reuse", person.claims["sid"])


async def test_reuse_of_a_token_after_the_window_ends_the_session(
    make_settings: MakeSettings, start: StartAuth
) -> None:
    async with start(await make_settings(refresh_reuse_window=0)) as auth:
        person = await auth.person()
        successor = (await person.refresh()).json()["refresh_token"]
        assert (await person.refresh()).json()["error"] == "invalid_grant"
        assert (await person.refresh(successor)).json()["error"] == "invalid_grant"


async def test_only_digests_are_stored(auth: RunningAuth) -> None:
    person = await auth.person()
    successor = (await person.refresh()).json()["refresh_token"]
    rows = await auth.rows("SELECT digest FROM refresh_tokens WHERE session_id = $1", person.claims["sid"])
    expected = {hashlib.sha256(token.encode()).digest() for token in (person.tokens["refresh_token"], successor)}
    assert {row["digest"] for row in rows} == expected


async def test_a_refresh_does_not_extend_the_maximum_lifetime_of_a_session(auth: RunningAuth) -> None:
    person = await auth.person()
    query, session = "SELECT expires_at FROM sessions WHERE id = $1", person.claims["sid"]
    before = await auth.rows(query, session)
    found = (await person.refresh()).json()
    assert await auth.rows(query, session) == before
    assert found["refresh_expires_in"] <= 2_592_000


async def test_an_expired_or_idle_session_cannot_be_refreshed(auth: RunningAuth) -> None:
    for column in ("expires_at", "idle_expires_at"):
        person = await auth.person()
        await auth.rows(f"UPDATE sessions SET {column} = now() WHERE id = $1 RETURNING id", person.claims["sid"])
        assert (await person.refresh()).json()["error"] == "invalid_grant"


async def test_a_token_is_bound_to_its_client(auth: RunningAuth) -> None:
    person = await auth.person()
    assert (await person.refresh(client_id="somebody-else")).json()["error"] == "invalid_grant"
    assert (await person.refresh(client_id="parley-web")).status_code == 200


async def test_a_refresh_with_a_refused_scope_does_not_use_the_token(auth: RunningAuth) -> None:
    person = await auth.person()
    assert (await person.refresh(scope="admin")).json()["error"] == "invalid_scope"
    rows = await auth.rows("SELECT rotated_at FROM sessions WHERE id = $1", person.claims["sid"])
    assert rows[0]["rotated_at"] is None


async def test_logging_out_ends_the_session_and_only_this_one(auth: RunningAuth) -> None:
    person = await auth.person()
    other = await person.other_login()
    for _ in range(2):
        done = await auth.client.post("/api/v1/auth/revoke", data={"token": person.tokens["refresh_token"]})
        assert done.status_code == 200
    assert (await person.refresh()).json()["error"] == "invalid_grant"
    assert (await person.call("GET", ME)).json()["code"] == "session_revoked"
    assert (await other.call("GET", ME)).status_code == 200
    reasons = [data["reason"] for name, data in await auth.events(person.id) if name == "session.revoked"]
    assert reasons == ["logout"]


@pytest.mark.parametrize("token", ["", "prt_unknown", "rubbish", "a.b.c"])
async def test_revoking_an_unknown_token_returns_200(auth: RunningAuth, token: str) -> None:
    assert (await auth.client.post("/api/v1/auth/revoke", data={"token": token})).status_code == 200
