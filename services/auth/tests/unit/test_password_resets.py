"""Password reset tokens and their mails, over in-memory stores and a collecting mailer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from auth.errors import PasswordTooWeak
from auth.password_resets.request_queue import MAIL_INTERVAL, ResetRequestQueue
from auth.password_resets.service import RESET_TOKEN_LIFETIME
from auth_testing.unit_services import HERE, MemoryMailer, UnitAuth
from parley.errors import NotFound, Overloaded, TokenRevoked, ValidationFailed
from parley.ids import new_id

NEW_PASSWORD = "quite another long sentence"
PAGE = "https://chat.example.org/reset"


@pytest.fixture
def mailer() -> MemoryMailer:
    return MemoryMailer()


@pytest.fixture
async def queue(auth: UnitAuth, mailer: MemoryMailer) -> AsyncIterator[ResetRequestQueue]:
    """A queue whose requests are delivered in the background."""
    found = ResetRequestQueue(auth.services.stores.password_resets, mailer, url=PAGE)
    delivering = asyncio.create_task(found.deliver())
    yield found
    delivering.cancel()
    await asyncio.wait({delivering})


async def next_mail(mailer: MemoryMailer) -> tuple[str, str]:
    """Return the address and the token of the next mail."""
    to, text = await asyncio.wait_for(mailer.sent.get(), 10)
    page, _, token = next(line for line in text.splitlines() if line.startswith("https://")).partition("#token=")
    assert page == PAGE
    return to, token


async def test_a_token_sets_a_new_password_once_and_ends_every_session(auth: UnitAuth) -> None:
    user = await auth.user()
    granted = await auth.login()
    token = (await auth.services.password_resets.issue(user, HERE)).token
    await auth.services.password_resets.use(token, NEW_PASSWORD, HERE)
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)
    assert (await auth.login(password=NEW_PASSWORD)).refresh_token is not None
    with pytest.raises(ValidationFailed) as refused:
        await auth.services.password_resets.use(token, NEW_PASSWORD, HERE)
    assert refused.value.errors[0].pointer == "/reset_token"


async def test_a_weak_password_does_not_use_the_token(auth: UnitAuth) -> None:
    user = await auth.user()
    token = (await auth.services.password_resets.issue(user, HERE)).token
    with pytest.raises(PasswordTooWeak) as refused:
        await auth.services.password_resets.use(token, "ada@example.org", HERE)
    assert refused.value.errors[0].pointer == "/new_password"
    await auth.services.password_resets.use(token, NEW_PASSWORD, HERE)


async def test_a_token_expires_after_an_hour(auth: UnitAuth) -> None:
    user = await auth.user()
    token = (await auth.services.password_resets.issue(user, HERE)).token
    auth.clock.forward(RESET_TOKEN_LIFETIME + 1)
    with pytest.raises(ValidationFailed):
        await auth.services.password_resets.use(token, NEW_PASSWORD, HERE)


async def test_a_token_for_an_unknown_account_is_not_issued(auth: UnitAuth) -> None:
    with pytest.raises(NotFound):
        await auth.services.password_resets.issue(replace(await auth.user(), id=new_id()), HERE)


async def test_a_link_is_mailed_to_the_stored_address(
    auth: UnitAuth, queue: ResetRequestQueue, mailer: MemoryMailer
) -> None:
    await auth.verified_user()
    queue.add("ADA@Example.ORG", HERE)
    to, token = await next_mail(mailer)
    assert to == "ada@example.org"
    await auth.services.password_resets.use(token, NEW_PASSWORD, HERE)


async def test_unknown_disabled_and_unverified_addresses_get_no_mail(
    auth: UnitAuth, queue: ResetRequestQueue, mailer: MemoryMailer
) -> None:
    disabled = await auth.verified_user("bea")
    auth.change(disabled.id, status="disabled")
    await auth.user("unverified")
    await auth.verified_user("ada")
    for address in ("nobody@example.org", "bea@example.org", "unverified@example.org", "ada@example.org"):
        queue.add(address, HERE)
    assert (await next_mail(mailer))[0] == "ada@example.org"
    assert mailer.sent.empty()


async def test_an_account_gets_one_mail_an_interval(
    auth: UnitAuth, queue: ResetRequestQueue, mailer: MemoryMailer
) -> None:
    for name in ("ada", "bea"):
        await auth.verified_user(name)
    for address in ("ada@example.org", "ada@example.org", "bea@example.org"):
        queue.add(address, HERE)
    assert [(await next_mail(mailer))[0] for _ in range(2)] == ["ada@example.org", "bea@example.org"]
    auth.clock.forward(MAIL_INTERVAL + 1)
    queue.add("ada@example.org", HERE)
    assert (await next_mail(mailer))[0] == "ada@example.org"


async def test_a_failed_mail_does_not_stop_the_next(
    auth: UnitAuth, queue: ResetRequestQueue, mailer: MemoryMailer
) -> None:
    for name in ("ada", "bea"):
        await auth.verified_user(name)
    mailer.failures = 1
    queue.add("ada@example.org", HERE)
    queue.add("bea@example.org", HERE)
    assert (await next_mail(mailer))[0] == "bea@example.org"


async def test_a_full_queue_refuses_requests(auth: UnitAuth, mailer: MemoryMailer) -> None:
    queue = ResetRequestQueue(auth.services.stores.password_resets, mailer, url=PAGE, capacity=1)
    queue.add("ada@example.org", HERE)
    with pytest.raises(Overloaded):
        queue.add("ada@example.org", HERE)
