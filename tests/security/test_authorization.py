"""Object-level authorization: every operation of the OpenAPI document, for its owner and for those who may not."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import pytest

from gateway.routes import ANY, PUBLIC, all_routes
from gateway_testing.operations import MESSAGE, OPERATIONS, Operation, call
from parley.ids import new_id
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.administrators import make_administrator
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

ENDS_THE_CALLER = {"DELETE /api/v1/auth/me", "DELETE /api/v1/auth/sessions", "POST /api/v1/auth/me/password"}
NOT_OWNED = frozenset({"erasure_id", "model_id", "webhook_id", "delivery_id"})
"""Ids in paths that belong to no user here: accounts do not have the scope of webhooks, whose tests try their ids."""


@dataclass
class OwnedObjects:
    """The owner's objects, and the texts that only the owner may read."""

    ids: dict[str, str]
    canaries: list[str]
    refresh_token: str
    access_token: str
    message_id: str = ""


@dataclass
class Findings:
    """What a caller got, and what was wrong with it."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
async def gateway(embedded: EmbeddedStack) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_http(embedded.url) as client:
        yield client


@pytest.fixture(scope="module")
async def owner(gateway: httpx2.AsyncClient) -> UserClient:
    return await register(gateway)


@pytest.fixture(scope="module")
async def objects(owner: UserClient) -> OwnedObjects:
    """One object of each kind of the owner, stored before any request of the tests."""
    canary = f"canary{secrets.token_hex(8)}"
    turn = await owner.chat(f"{canary} [[fake tokens=1]]")
    path = f"/api/v1/conversations/{turn['conversation_id']}"
    stored = await owner.request("GET", f"{path}/messages", params={"wait_for": turn["turn_id"]})
    assert canary in stored.text
    me = (await owner.request("GET", "/api/v1/auth/me")).json()
    key = (await owner.request("POST", "/api/v1/auth/api-keys", json={"name": canary})).json()
    sessions = (await owner.request("GET", "/api/v1/auth/sessions")).json()["data"]
    upload = {"file": (f"{canary}.txt", canary.encode())}
    file = (await owner.request("POST", "/api/v1/files", files=upload)).json()
    tokens = dict(owner.tokens)
    await owner.log_in()  # the session among the objects is not the one that the tests use
    ids = {
        "conversation_id": turn["conversation_id"],
        "chat_id": turn["conversation_id"],
        "turn_id": turn["turn_id"],
        "response_id": f"resp_{turn['turn_id'].replace('-', '')}",
        "item_id": f"msg_{turn['turn_id'].replace('-', '')}",
        "key_id": key["id"],
        "file_id": file["id"],
        "session_id": sessions[0]["id"],
        "user_id": me["id"],
        "erasure_id": secrets.token_urlsafe(32),
        "model_id": "default",
        "webhook_id": str(new_id()),
        "delivery_id": str(new_id()),
    }
    private = [canary, owner.username, *(value for name, value in ids.items() if name not in NOT_OWNED)]
    return OwnedObjects(ids, private, tokens["refresh_token"], tokens["access_token"], turn["message_id"])


def key_scopes(missing: str | None) -> list[str]:
    return sorted({"chat:write", "events:read", "history:read", "history:write"} - {missing})


def leaks(objects: OwnedObjects, operation: Operation, text: str) -> list[str]:
    """Return what the owner alone may read, without the ids in the path: a problem repeats its path."""
    sent = {objects.ids[name] for name in operation.ids}
    return [private for private in objects.canaries if private in text and private not in sent]


def test_the_document_and_the_route_table_name_the_same_operations() -> None:
    documented = {each.name for each in OPERATIONS}
    routed = {
        f"{method} {each.template.replace('{id}', '{}')}"
        for each in all_routes()
        for method in each.methods - {"HEAD"}
        if not each.websocket  # OpenAPI cannot describe it
    }
    assert documented == routed
    assert {each.name for each in OPERATIONS if each.public} == {
        each.name for each in OPERATIONS if each.scope is PUBLIC
    }


async def test_nobody_and_keys_without_the_scope_get_nothing(
    gateway: httpx2.AsyncClient, owner: UserClient, objects: OwnedObjects
) -> None:
    findings = Findings()
    keys: dict[str | None, dict[str, str]] = {}
    for missing in {each.scope for each in OPERATIONS} - {PUBLIC, ANY}:
        body = {"name": f"without {missing}", "scopes": key_scopes(missing)}
        made = await owner.request("POST", "/api/v1/auth/api-keys", json=body)
        keys[missing] = {"X-API-Key": made.json()["key"]}
    for operation in OPERATIONS:
        expected = {"nobody": 401} if not operation.public else {}
        if operation.scope not in (PUBLIC, ANY):
            expected["a key without the scope"] = 403
        for caller, wanted in expected.items():
            headers = keys[operation.scope] if wanted == httpx2.codes.FORBIDDEN else {}
            status, text = await call(gateway, operation, objects.ids, headers)
            findings.statuses[caller, status] += 1
            if status != wanted or leaks(objects, operation, text):
                findings.wrong.append(f"{caller}: {operation.name}: {status} instead of {wanted}")
    print(f"\nauthorization: {sum(findings.statuses.values())} requests, {dict(findings.statuses)}")
    assert findings.wrong == []


def expected_of_a_stranger(operation: Operation) -> int | None:
    """Return the only right status, or None where the stranger acts on objects of its own."""
    if operation.for_administrators or operation.path.startswith("/api/v1/webhooks"):
        return 403
    if operation.object_of and operation.object_of not in {"model_id", "chat_id"}:  # nothing runs in an unknown chat
        return 404
    return None


async def test_another_user_neither_reads_nor_changes_anything(
    gateway: httpx2.AsyncClient, owner: UserClient, objects: OwnedObjects
) -> None:
    findings = Findings()
    stranger = await register(gateway)
    for operation in OPERATIONS:
        caller = await register(gateway) if operation.name in ENDS_THE_CALLER else stranger
        status, text = await call(gateway, operation, objects.ids, caller.headers)
        findings.statuses["another user", status] += 1
        wanted = expected_of_a_stranger(operation)
        seen = leaks(objects, operation, text)
        if seen or status >= httpx2.codes.INTERNAL_SERVER_ERROR or (wanted is not None and status != wanted):
            findings.wrong.append(f"{operation.name}: {status} instead of {wanted}, shows {seen}")
    print(f"\nauthorization: {sum(findings.statuses.values())} requests, {dict(findings.statuses)}")
    assert findings.wrong == []
    title = (await owner.request("GET", f"/api/v1/conversations/{objects.ids['conversation_id']}")).json()["title"]
    assert title != "Changed"


async def test_an_object_of_another_user_in_a_body_or_a_query_is_not_found(
    gateway: httpx2.AsyncClient, objects: OwnedObjects
) -> None:
    stranger = await register(gateway)
    own = await stranger.chat("mine [[fake tokens=1]]")
    conversation, turn = objects.ids["conversation_id"], objects.ids["turn_id"]
    bodies = [
        {**MESSAGE, "conversation_id": conversation},
        {**MESSAGE, "conversation_id": conversation, "parent_id": turn},
        {**MESSAGE, "conversation_id": own["conversation_id"], "parent_id": turn},
        {"regenerate": turn, "conversation_id": conversation},
        {"regenerate": turn, "conversation_id": own["conversation_id"]},
        {"regenerate": objects.message_id, "conversation_id": own["conversation_id"]},
    ]
    wrong = []
    for path in ("/api/v1/chat", "/api/v1/chat/stream"):
        for body in bodies:
            response = await stranger.request("POST", path, json=body)
            if response.status_code != httpx2.codes.NOT_FOUND:
                wrong.append(f"{path} {body}: {response.status_code} {response.text[:200]}")
    queries = [
        f"/api/v1/search?q=canary&conversation_id={conversation}",
        f"/api/v1/chat/turns?conversation_id={conversation}",
        f"/api/v1/conversations/{own['conversation_id']}/messages?wait_for={turn}",
        f"/api/v1/usage?user_id={objects.ids['user_id']}",
        f"/api/v1/conversations?user_id={objects.ids['user_id']}",
    ]
    for path in queries:
        response = await stranger.request("GET", path)
        if any(private in response.text for private in objects.canaries if private not in path):
            wrong.append(f"{path}: {response.text[:200]}")
    introspected = await stranger.request("POST", "/api/v1/auth/introspect", data={"token": objects.access_token})
    assert introspected.json() == {"active": False}
    print(f"\nauthorization: {2 * len(bodies) + len(queries) + 1} references to objects of another user")
    assert wrong == []


def deletions_last(operation: Operation) -> tuple[bool, bool, bool]:
    """Order operations: conversations go after what they contain, and sessions of the owner end after both."""
    deletes = operation.method == "DELETE"
    return deletes, deletes and operation.for_administrators, deletes and operation.object_of == "conversation_id"


async def test_the_owner_and_an_administrator_are_let_through(
    embedded: EmbeddedStack, gateway: httpx2.AsyncClient, owner: UserClient, objects: OwnedObjects
) -> None:
    """Prove that the ids of the other tests were right. This test comes last: it deletes them."""
    await owner.log_in()
    admin = await register(gateway)
    await make_administrator(embedded, admin)
    wrong, counts, deleted = [], Counter[str](), set[str]()
    for operation in sorted(OPERATIONS, key=deletions_last):
        if not operation.ids or NOT_OWNED.union(deleted).intersection(operation.ids):
            continue
        name, caller = ("administrator", admin) if operation.for_administrators else ("owner", owner)
        counts[name] += 1
        got, text = await call(gateway, operation, objects.ids, caller.headers)
        if got >= httpx2.codes.BAD_REQUEST and not (
            operation.path.endswith("/cancel") and got == httpx2.codes.CONFLICT
        ):
            wrong.append(f"{name}: {operation.name}: {got} {text[:200]}")
        if operation.method == "DELETE" and operation.path.endswith("}"):
            deleted.add(operation.ids[-1])
    print(f"\nauthorization: let through: {dict(counts)}")
    assert wrong == []
