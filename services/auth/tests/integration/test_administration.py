"""Administration, the audit log and erasure."""

import asyncio
from dataclasses import replace
from importlib.resources import files
from typing import Any

import asyncpg
import orjson
import pytest

from auth_testing.app import MakeSettings, RunningAuth, StartAuth
from parley.messaging.memory_bus import MemoryBus
from parley_events.cloudevents import CloudEvent
from parley_events.subscription import Subscription
from parley_testing import eventually
from parley_testing.contracts.bus import make_event, publish_until_confirmed

pytestmark = pytest.mark.integration

USERS, ME, AUDIT = "/api/v1/admin/users", "/api/v1/auth/me", "/api/v1/admin/audit"


async def test_administrators_find_accounts(auth: RunningAuth) -> None:
    admin, person = await auth.person(admin=True), await auth.person()
    by_name = (await admin.call("GET", USERS, params={"q": person.username[:-1].upper()})).json()
    assert [user["id"] for user in by_name["data"]] == [person.id]
    by_address = (await admin.call("GET", USERS, params={"q": f"{person.username}@EXAMPLE.org"})).json()
    assert [user["id"] for user in by_address["data"]] == [person.id]
    disabled = (await admin.call("GET", USERS, params={"q": person.username, "status": "disabled"})).json()
    assert disabled == {"data": [], "next_cursor": None}
    first = (await admin.call("GET", USERS, params={"limit": 1})).json()
    second = (await admin.call("GET", USERS, params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert first["data"][0]["id"] > second["data"][0]["id"]
    assert (await admin.call("GET", f"{USERS}/{person.id}")).json()["username"] == person.username
    assert (await admin.call("GET", f"{USERS}/rubbish")).status_code == 404


async def test_a_disabled_account_is_logged_out_until_it_is_enabled(auth: RunningAuth) -> None:
    admin, person = await auth.person(admin=True), await auth.person()
    path = f"{USERS}/{person.id}"
    assert (await admin.call("PATCH", path, json={"status": "disabled"})).json()["status"] == "disabled"
    assert (await person.call("GET", ME)).json()["code"] == "session_revoked"
    assert (await person.refresh()).json()["error"] == "invalid_grant"
    assert (await person.login()).json()["error"] == "invalid_grant"
    names = [(name, data.get("reason")) for name, data in await auth.events(person.id)]
    assert names[1:] == [("session.revoked", "disabled"), ("user.disabled", None)]
    assert (await admin.call("PATCH", path, json={"status": "active"})).json()["status"] == "active"
    assert (await person.login()).status_code == 200
    assert (await person.call("GET", ME)).status_code == 200


async def test_removing_a_scope_revokes_the_tokens_that_have_it(auth: RunningAuth) -> None:
    admin, person = await auth.person(admin=True), await auth.person()
    body = {"scopes": ["account", "history:read"]}
    assert (await admin.call("PATCH", f"{USERS}/{person.id}", json=body)).json()["scopes"] == body["scopes"]
    assert (await person.call("GET", ME)).json()["code"] == "session_revoked"
    person.tokens = (await person.refresh()).json()
    assert person.tokens["scope"] == "account history:read"
    assert (await person.call("GET", ME)).status_code == 200


async def test_an_administrator_ends_the_sessions_of_an_account(auth: RunningAuth) -> None:
    admin, person = await auth.person(admin=True), await auth.person()
    assert (await admin.call("DELETE", f"{USERS}/{person.id}/sessions")).status_code == 204
    assert (await person.call("GET", ME)).json()["code"] == "session_revoked"
    name, data = (await auth.events(person.id))[-1]
    assert (name, data["reason"]) == ("session.revoked", "admin")


async def test_the_last_administrator_cannot_be_removed(make_settings: MakeSettings, start: StartAuth) -> None:
    async with start(await make_settings()) as auth:
        first, second = await auth.person(admin=True), await auth.person(admin=True)
        paths = [f"{USERS}/{first.id}", f"{USERS}/{second.id}"]
        answers = await asyncio.gather(
            first.call("PATCH", paths[1], json={"status": "disabled"}),
            second.call("PATCH", paths[0], json={"scopes": ["account"]}),
        )
        assert sorted(answer.status_code for answer in answers) in ([200, 409], [200, 401])
        left = await auth.rows("SELECT username FROM users WHERE status = 'active' AND 'admin' = ANY (scopes)")
        assert len(left) == 1
        last = first if left[0]["username"] == first.username else second
        for method, body in (("PATCH", {"status": "disabled"}), ("PATCH", {"scopes": []}), ("DELETE", None)):
            refused = await last.call(method, f"{USERS}/{last.id}", **({"json": body} if body else {}))
            assert (refused.status_code, refused.json()["code"]) == (409, "last_admin")
        assert (await last.call("DELETE", ME)).json()["code"] == "last_admin"
        assert (await last.call("GET", ME)).json()["status"] == "active"


async def test_actions_of_administrators_are_audited(auth: RunningAuth) -> None:
    admin, person = await auth.person(admin=True), await auth.person()
    headers = {"x-forwarded-for": "203.0.113.7", "x-request-id": "asked-by-a-test"}
    await admin.call("PATCH", f"{USERS}/{person.id}", json={"status": "disabled"}, headers=headers)
    query = {"actor": admin.id, "action": "user.disabled", "target": person.id, "from": "2020-01-01T00:00:00Z"}
    (entry,) = (await admin.call("GET", AUDIT, params=query)).json()["data"]
    assert entry["actor"] == {"type": "user", "id": admin.id}
    assert entry["target"] == {"type": "user", "id": person.id}
    assert (entry["ip"], entry["request_id"]) == ("203.0.113.7", "asked-by-a-test")
    assert entry["detail"] == {"changed": ["status"]}
    later = (await admin.call("GET", AUDIT, params={**query, "from": "2999-01-01T00:00:00Z"})).json()
    assert later["data"] == []


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_the_audit_log_cannot_be_changed(auth: RunningAuth, statement: str) -> None:
    await auth.person()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await auth.rows(statement)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", USERS),
        ("POST", USERS),
        ("GET", f"{USERS}/{{id}}/sessions"),
        ("GET", f"{USERS}/{{id}}"),
        ("PATCH", f"{USERS}/{{id}}"),
        ("DELETE", f"{USERS}/{{id}}"),
        ("DELETE", f"{USERS}/{{id}}/sessions"),
        ("DELETE", f"{USERS}/{{id}}/sessions/{{id}}"),
        ("POST", f"{USERS}/{{id}}/password-reset"),
        ("GET", AUDIT),
    ],
)
async def test_administration_requires_the_scope_admin(auth: RunningAuth, method: str, path: str) -> None:
    person = await auth.person()
    body: dict[str, Any] = {"json": {}} if method == "PATCH" or path == USERS else {}
    refused = await person.call(method, path.format(id=person.id), **body)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert (await auth.client.request(method, path.format(id=person.id), **body)).status_code == 401


async def test_an_erasure_deletes_the_account_and_completes_when_every_service_confirms(
    make_settings: MakeSettings, start: StartAuth
) -> None:
    bus, asked = MemoryBus(), []

    async def forget(event: Any) -> None:
        asked.append(event.json())

    async with (
        start(await make_settings(), bus=bus) as auth,
        bus.consume(Subscription("chat.erasures", ("user.erased",), forget)),
    ):
        person = await auth.person()
        await person.call("POST", "/api/v1/auth/api-keys", json={"name": "ci"})
        begun = await person.call("DELETE", ME)
        assert begun.status_code == 202
        body = begun.json()
        assert begun.headers["location"] == f"/api/v1/auth/erasures/{body['id']}"
        assert (body["status"], body["completed_at"]) == ("running", None)
        assert body["services"] == {"auth": "confirmed", "chat": "pending", "history": "pending", "webhooks": "pending"}
        assert (await person.call("GET", ME)).status_code == 401
        assert (await person.login()).json()["error"] == "invalid_grant"
        assert await auth.rows("SELECT FROM sessions") == await auth.rows("SELECT FROM api_keys") == []
        await eventually(lambda: asked)
        assert asked[0] | {"at": None} == {"user_id": person.id, "erasure_id": body["id"], "at": None}
        for service in ("chat", "history", "webhooks"):
            assert (await auth.client.get(begun.headers["location"])).json()["status"] == "running"
            await _confirm(bus, person.id, body["id"], service)
        done = (await auth.client.get(begun.headers["location"])).json()
        assert done["status"] == "completed"
        assert done["completed_at"] is not None
        assert set(done["services"].values()) == {"confirmed"}
        again = {"username": person.username, "password": "correct horse battery staple"}
        assert (await auth.client.post("/api/v1/auth/register", json=again)).status_code == 201


async def test_a_restored_erasure_waits_for_the_other_services_only(auth: RunningAuth) -> None:
    begun = await (await auth.person()).call("DELETE", ME)
    script = files("auth").joinpath("after_restore.sql").read_text(encoding="utf-8")
    async with auth.connection() as connection, connection.transaction():
        await connection.execute("UPDATE erasure_services SET confirmed_at = now()")
        await connection.execute("UPDATE erasures SET completed_at = now()")
        await connection.execute("SELECT set_config('parley.snapshot_at', now()::text, true)")
        await connection.execute(script)
    found = (await auth.client.get(begun.headers["location"])).json()
    assert found["status"] == "running"
    assert found["services"] == {"auth": "confirmed", "chat": "pending", "history": "pending", "webhooks": "pending"}


async def _confirm(bus: MemoryBus, user_id: str, erasure_id: str, service: str) -> None:
    data = {"user_id": user_id, "erasure_id": erasure_id, "service": service, "at": "2026-11-22T10:00:02.000Z"}
    event = replace(make_event("user.erasure_confirmed", key=user_id), data=orjson.dumps(data))
    await publish_until_confirmed(bus, event)


async def test_erasing_the_own_account_requires_a_recent_login(auth: RunningAuth) -> None:
    person = await auth.person()
    await auth.rows(
        "UPDATE sessions SET auth_time = now() - interval '10 minutes' WHERE id = $1 RETURNING id", person.claims["sid"]
    )
    person.tokens = (await person.refresh()).json()
    refused = await person.call("DELETE", ME)
    assert (refused.status_code, refused.json()["code"]) == (401, "reauthentication_required")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_user_authentication", max_age=300'
    await person.login()
    assert (await person.call("DELETE", ME)).status_code == 202


async def test_an_administrator_erases_an_account(auth: RunningAuth) -> None:
    admin, person = await auth.person(admin=True), await auth.person()
    begun = await admin.call("DELETE", f"{USERS}/{person.id}")
    assert begun.status_code == 202
    assert (await admin.call("DELETE", f"{USERS}/{person.id}")).status_code == 404
    assert (await admin.call("GET", f"{USERS}/{person.id}")).status_code == 404
    assert (await auth.client.get(begun.headers["location"])).json()["status"] == "running"


@pytest.mark.parametrize("erasure", ["x", "%00", "ü", "q5m3b0m8dW1kq0m9b5c3Jm8dW1kq0m9b5c3Jm8dW1k0"])
async def test_an_unknown_erasure_is_not_found(auth: RunningAuth, erasure: str) -> None:
    assert (await auth.client.get(f"/api/v1/auth/erasures/{erasure}")).status_code == 404


async def test_a_pending_erasure_is_published_again_at_growing_intervals(auth: RunningAuth) -> None:
    person = await auth.person()
    await person.call("DELETE", ME)

    async def republished(*, requested: int, asked: int, sent: bool = True) -> int:
        await auth.rows(
            "UPDATE outbox SET sent_at = CASE WHEN $2 THEN now() END WHERE subject = $1 RETURNING id",
            *(person.id, sent),
        )
        await auth.rows(
            "UPDATE erasures SET requested_at = now() - make_interval(secs => $2),"
            " asked_at = now() - make_interval(secs => $3) WHERE user_id = $1 RETURNING id",
            *(person.id, requested, asked),
        )
        return await auth.services.stores.erasures.republish_pending(after=60, at_most=600)

    assert await republished(requested=59, asked=59) == 0
    assert await republished(requested=61, asked=61) == 1
    arrived = asyncio.Event()

    async def handle(_: CloudEvent) -> None:
        await arrived.wait()

    async with auth.bus.consume(Subscription("test.slow", ("user.#",), handle)):
        assert await republished(requested=300, asked=201, sent=False) == 0, "the event still waits in the outbox"
        arrived.set()
    assert await republished(requested=300, asked=99) == 0, "200 s passed before it was published"
    assert await republished(requested=300, asked=201) == 1
    assert await republished(requested=5000, asked=601) == 1
    asked = [name for name, _ in await auth.events(person.id)]
    assert asked.count("user.erased") == 4
