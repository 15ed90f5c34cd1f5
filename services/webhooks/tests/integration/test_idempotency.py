"""Repeated requests with an ``Idempotency-Key``: one webhook and one new secret, and the first response again."""

import asyncio
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from parley.ids import new_id
from parley.process.tasks import background
from parley_events.models import UserErased
from parley_events.testing.samples import sample
from parley_testing import eventually
from webhooks.database import Database
from webhooks.endpoints.model import MAX_OWN_WEBHOOKS
from webhooks.retention.purge import EventPurger
from webhooks_testing.app import NewDatabase, OpenWebhooks, RunningWebhooks, WebhookOwner
from webhooks_testing.receiver import Receiver

pytestmark = pytest.mark.integration

URL = "https://example.org/hooks"
BODY: dict[str, Any] = {"url": URL, "events": ["conversation.turn.*"], "description": "Mine", "ordered": True}
KEYS = "SELECT count(*) FROM idempotency_keys WHERE user_id = $1"
AGE = "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE user_id = $1"


async def post(
    user: WebhookOwner, path: str = "", *, status: int = 201, body: object = BODY, key: str = "key-1"
) -> httpx2.Response:
    headers = {"Idempotency-Key": key}
    response = await user.request("POST", path, headers=headers, **({"json": body} if body is not None else {}))
    assert response.status_code == status, response.text
    return response


async def rotate(user: WebhookOwner, webhook: dict[str, Any], *, status: int = 200) -> httpx2.Response:
    return await post(user, f"/{webhook['id']}/secret", status=status, body=None)


def is_replayed(response: httpx2.Response) -> bool:
    return response.headers.get("Idempotency-Replayed") == "true"


async def listed(user: WebhookOwner) -> list[str]:
    return [each["id"] for each in (await user.send("GET"))["data"]]


async def test_a_repeated_creation_makes_one_webhook_and_shows_its_secret_again(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    first, second = [await post(user) for _ in range(2)]
    assert (first.content, first.headers["Location"]) == (second.content, second.headers["Location"])
    assert first.json()["secret"].startswith("whsec_")
    assert second.headers["Cache-Control"] == "no-store"
    assert (is_replayed(first), is_replayed(second)) == (False, True)
    assert await listed(user) == [first.json()["id"]]


async def test_creations_at_the_same_time_with_one_key_make_one_webhook(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    found = await asyncio.gather(*(post(user) for _ in range(8)))
    assert len({response.content for response in found}) == 1
    assert sorted(map(is_replayed, found)) == [False] + [True] * 7
    assert len(await listed(user)) == 1


async def test_a_repetition_shows_the_webhook_as_it_was_created(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    first = await post(user)
    path = f"/{first.json()['id']}"
    await user.send("PATCH", path, json={"status": "paused", "description": None})
    await rotate(user, first.json())
    assert (await post(user)).content == first.content
    await user.send("DELETE", path, status=204)
    assert (await post(user)).content == first.content
    assert await listed(user) == []


async def test_a_key_belongs_to_one_body(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    await post(user)
    reordered = dict(reversed(BODY.items()))
    assert is_replayed(await post(user, body=reordered))
    refused = await post(user, body={**BODY, "url": f"{URL}/other"}, status=422)
    assert refused.json()["code"] == "idempotency_key_reused"
    assert len(await listed(user)) == 1


async def test_a_key_belongs_to_one_user_and_one_route(webhooks: RunningWebhooks) -> None:
    user, other = webhooks.user(), webhooks.user()
    first, foreign = await post(user), await post(other)
    second = await post(user, key="key-2")
    assert len({each.json()["id"] for each in (first, foreign, second)}) == 3
    rotated = [await rotate(user, each.json()) for each in (first, second)]
    assert not any(is_replayed(each) for each in [first, foreign, second, *rotated])


async def test_a_key_is_forgotten_after_a_day(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    first = await post(user)
    await webhooks.pool.execute(AGE, user.id)
    second = await post(user, body={**BODY, "ordered": False})
    assert not is_replayed(second)
    assert second.json()["id"] != first.json()["id"]
    assert (await post(user, body={**BODY, "ordered": False})).content == second.content


async def test_the_purge_deletes_old_keys_only(open_webhooks_on: OpenWebhooks, new_database: NewDatabase) -> None:
    async with open_webhooks_on(await new_database()) as webhooks:
        old, recent = webhooks.user(), webhooks.user()
        for user in (old, recent):
            await post(user)
        await webhooks.pool.execute(AGE, old.id)

        async def is_purged() -> bool:
            return bool(await webhooks.pool.fetchval(KEYS, old.id) == 0)

        purger = EventPurger(Database(webhooks.pool), retention_days=30)
        async with background("purge", purger.run, service="webhooks"):
            await eventually(is_purged)
        assert await webhooks.pool.fetchval(KEYS, recent.id) == 1


async def test_a_creation_that_is_refused_leaves_its_key_free(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    for _ in range(MAX_OWN_WEBHOOKS):
        last = await user.create(URL)
    await post(user, status=422)
    await user.send("DELETE", f"/{last['id']}", status=204)
    assert not is_replayed(await post(user))


@pytest.mark.parametrize("key", ["", "a" * 256, "two words"])
async def test_a_malformed_key_is_refused(webhooks: RunningWebhooks, key: str) -> None:
    user = webhooks.user()
    webhook = await user.create(URL)
    for path, body in (("", BODY), (f"/{webhook['id']}/secret", None)):
        refused = await post(user, path, status=400, body=body, key=key)
        assert refused.json()["code"] == "invalid_request"
    assert await listed(user) == [webhook["id"]]


async def test_the_secret_before_a_repeated_rotation_signs_still(webhooks: RunningWebhooks, receiver: Receiver) -> None:
    user = webhooks.user()
    webhook = await user.create(receiver.url)
    first, second = [await rotate(user, webhook) for _ in range(2)]
    assert first.content == second.content
    assert (is_replayed(first), is_replayed(second)) == (False, True)
    assert first.json()["secret"] != webhook["secret"]
    await user.send("POST", f"/{webhook['id']}/test", status=202)
    await eventually(lambda: receiver.requests)
    (request,) = receiver.requests
    assert are_signed_by(request.headers, request.body, [first.json()["secret"], webhook["secret"]])


def are_signed_by(headers: dict[str, str], body: bytes, secrets: list[str]) -> bool:
    """Return whether a request has a signature of each secret."""
    return all(Webhook(secret).verify(body, headers) for secret in secrets)


async def test_stored_responses_do_not_show_secrets_and_are_erased_with_their_user(webhooks: RunningWebhooks) -> None:
    user = webhooks.user()
    created = await post(user)
    await rotate(user, created.json())
    assert await webhooks.pool.fetchval(KEYS, user.id) == 2
    stored = await webhooks.pool.fetch("SELECT response FROM idempotency_keys WHERE user_id = $1", user.id)
    assert not any(b"whsec_" in row["response"] or URL.encode() in row["response"] for row in stored)
    await webhooks.publish(sample(UserErased, user_id=user.id))
    assert await webhooks.pool.fetchval(KEYS, user.id) == 0
    await post(user, status=404)
    assert await webhooks.pool.fetchval(KEYS, user.id) == 0


async def test_an_erased_administrator_leaves_no_key(webhooks: RunningWebhooks) -> None:
    gone, admin = (webhooks.user(scope="admin") for _ in range(2))
    shared = await admin.create(URL, scope="all")
    await webhooks.publish(sample(UserErased, user_id=gone.id))
    assert not is_replayed(await rotate(gone, shared))
    assert await webhooks.pool.fetchval(KEYS, gone.id) == 0
    await admin.send("DELETE", f"/{shared['id']}", status=204)


async def test_a_key_from_before_the_secret_key_was_replaced_is_refused(
    open_webhooks_on: OpenWebhooks, new_database: NewDatabase
) -> None:
    dsn, user_id = await new_database(), new_id()
    async with open_webhooks_on(dsn) as webhooks:
        await post(webhooks.user(user_id))
    replaced = "".join(f"{(11 * n + 5) % 256:02x}" for n in range(32))
    async with open_webhooks_on(dsn, webhooks_secret_key=replaced) as webhooks:
        refused = await post(webhooks.user(user_id), status=422)
        assert refused.json()["code"] == "idempotency_key_reused"
