"""Mails about security events and the verification of addresses, over in-memory stores and a collecting mailer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from auth.administration.creation import AccountRequest
from auth.api_keys.model import DEFAULT_EXPIRY
from auth.audit.model import RequestOrigin
from auth.email_verification.service import MAIL_INTERVAL
from auth.mail.mail_queue import Mail, MailQueue
from auth.mail.notices import MAX_NOTICES, NOTICE_WINDOW, Recipient, SecurityEvent, SecurityNotices
from auth.security.password_hashing import PasswordHasher
from auth.tokens.grants import TokenRequest
from auth_testing.app import PASSWORD
from auth_testing.unit_services import HERE, MemoryMailer, UnitAuth, unit_auth, unit_auth_with, unit_settings
from parley.errors import ValidationFailed
from parley.ids import new_id

NEW_PASSWORD = "quite another long sentence"
PHONE = RequestOrigin("anonymous", None, "198.51.100.9", "A phone/1.0")


@dataclass
class Mailing:
    """Services that mail, and what they have mailed."""

    auth: UnitAuth
    mailer: MemoryMailer

    async def next(self) -> tuple[str, str]:
        """Return the address and the text of the next mail."""
        return await asyncio.wait_for(self.mailer.sent.get(), 10)

    async def token(self) -> str:
        _, text = await self.next()
        (link,) = [line for line in text.splitlines() if line.startswith("http")]
        page, _, token = link.partition("#token=")
        assert page == "https://chat.example.org/verify"
        return token


@pytest.fixture
async def mailing(fast_hasher: PasswordHasher) -> AsyncIterator[Mailing]:
    mailer = MemoryMailer()
    queue = MailQueue(mailer)
    settings = unit_settings(email_verification_url="https://chat.example.org/verify")
    delivering = asyncio.create_task(queue.deliver())
    yield Mailing(await unit_auth_with(settings, fast_hasher, queue), mailer)
    delivering.cancel()
    await asyncio.wait({delivering})


async def test_a_new_account_gets_a_link_that_verifies_its_address(mailing: Mailing) -> None:
    user = await mailing.auth.user()
    token = await mailing.token()
    await mailing.auth.services.email_verification.confirm(token, HERE)
    assert mailing.auth.database.users[user.id].email_verified
    with pytest.raises(ValidationFailed) as refused:
        await mailing.auth.services.email_verification.confirm(token, HERE)
    assert refused.value.errors[0].pointer == "/verification_token"


async def test_an_invited_person_gets_the_link_after_choosing_a_password(mailing: Mailing) -> None:
    made = await mailing.auth.services.operator.create_user(AccountRequest("ada", "ada@example.org"))
    assert made.link is not None
    assert mailing.mailer.sent.empty()
    await mailing.auth.services.password_resets.use(made.link.token, NEW_PASSWORD, HERE)
    await mailing.auth.services.email_verification.confirm(await mailing.token(), HERE)
    assert mailing.auth.database.users[made.user.id].email_verified


async def test_an_address_that_an_administrator_changes_is_told_and_verified(mailing: Mailing) -> None:
    user = await mailing.auth.user()
    await mailing.token()
    caller = await mailing.auth.principal(await mailing.auth.login())
    mailing.auth.clock.forward(MAIL_INTERVAL + 1)
    await mailing.auth.services.administration.change(
        caller,
        str(user.id),
        status=None,
        plan=None,
        scopes=None,
        origin=HERE,
        profile={"email": "new@example.org"},
    )
    assert [(await mailing.next())[0] for _ in range(2)] == ["ada@example.org", "new@example.org"]


async def test_a_link_verifies_no_other_address(mailing: Mailing) -> None:
    user = await mailing.auth.user()
    token = await mailing.token()
    caller = await mailing.auth.principal(await mailing.auth.login())
    await mailing.auth.services.accounts.change(caller, {"email": "eve@example.org"}, HERE)
    with pytest.raises(ValidationFailed):
        await mailing.auth.services.email_verification.confirm(token, HERE)
    assert not mailing.auth.database.users[user.id].email_verified


async def test_an_account_gets_one_link_an_interval(mailing: Mailing) -> None:
    user = await mailing.auth.user()
    await mailing.token()
    for _ in range(3):
        await mailing.auth.services.email_verification.send_link(user.id, HERE)
    mailing.auth.clock.forward(61)
    await mailing.auth.services.email_verification.send_link(user.id, HERE)
    await mailing.token()
    assert mailing.mailer.sent.empty()


async def test_the_old_address_is_told_of_a_change_and_the_new_one_gets_a_link(mailing: Mailing) -> None:
    user = await mailing.auth.user()
    await mailing.token()
    mailing.auth.clock.forward(61)
    caller = await mailing.auth.principal(await mailing.auth.login())
    await mailing.auth.services.accounts.change(caller, {"email": "new@example.org", "display_name": "Ada"}, HERE)
    (old, text), (new, link) = await mailing.next(), await mailing.next()
    assert (old, new) == ("ada@example.org", "new@example.org")
    assert "no longer the e-mail address" in text
    assert "new@example.org" not in text
    assert "#token=" in link
    assert not mailing.auth.database.users[user.id].email_verified


async def test_new_devices_new_keys_and_new_passwords_are_mailed_and_audited(mailing: Mailing) -> None:
    user = await mailing.auth.user()
    await mailing.token()
    caller = await mailing.auth.principal(await mailing.auth.login())
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    await mailing.auth.services.grants.grant(TokenRequest(form, None, None, PHONE))
    key, _ = await mailing.auth.services.api_keys.create(
        caller, name="mallory", scopes=["chat:write"], expiry=DEFAULT_EXPIRY, idempotency_key=None, origin=HERE
    )
    await mailing.auth.services.accounts.change_password(caller, PASSWORD, NEW_PASSWORD, HERE)
    token = (await mailing.auth.services.password_resets.issue(user, HERE)).token
    await mailing.auth.services.password_resets.use(token, PASSWORD, HERE)
    mails = [await mailing.next() for _ in range(4)]
    assert {to for to, _ in mails} == {"ada@example.org"}
    device, new_key, changed, reset = (text for _, text in mails)
    assert "198.51.100.9" in device
    assert "A phone" not in device
    assert key.prefix in new_key
    assert "mallory" not in new_key
    assert "password of your account was changed" in changed
    assert "password of your account was changed" in reset
    actions = {entry.action for entry in mailing.auth.database.audit}
    assert {"session.new_device", "apikey.created", "password.changed", "password.reset"} <= actions


async def test_without_mail_the_audit_log_has_the_events(fast_hasher: PasswordHasher) -> None:
    auth = await unit_auth(fast_hasher)
    user = await auth.user()
    await auth.login()
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    await auth.services.grants.grant(TokenRequest(form, None, None, PHONE))
    await auth.services.email_verification.send_link(user.id, HERE)
    assert auth.database.audit[-1].action == "session.new_device"
    assert auth.database.verifications == {}


async def test_an_account_gets_few_notices_of_one_kind(mailing: Mailing) -> None:
    now = 0.0
    queue = MailQueue(mailing.mailer, capacity=100)
    notices = SecurityNotices(queue, clock=lambda: now)
    ada = Recipient(new_id(), "ada", "ada@example.org")
    for _ in range(3 * MAX_NOTICES):
        notices.send(SecurityEvent.NEW_API_KEY, ada, HERE, detail="parley_abc")
    notices.send(SecurityEvent.EMAIL_CHANGED, ada, HERE)
    now = NOTICE_WINDOW + 1
    notices.send(SecurityEvent.NEW_API_KEY, ada, HERE, detail="parley_abc")
    delivering = asyncio.create_task(queue.deliver())
    assert len([await mailing.next() for _ in range(MAX_NOTICES + 2)]) == MAX_NOTICES + 2
    assert mailing.mailer.sent.empty()
    delivering.cancel()
    await asyncio.wait({delivering})


async def test_a_full_queue_drops_a_mail_and_a_failed_one_does_not_stop_the_next(mailing: Mailing) -> None:
    queue = MailQueue(mailing.mailer, capacity=2)
    for number in range(3):
        queue.add(Mail(f"{number}@example.org", "subject", "text"))
    mailing.mailer.failures = 1
    delivering = asyncio.create_task(queue.deliver())
    assert (await mailing.next())[0] == "1@example.org"
    assert mailing.mailer.sent.empty()
    delivering.cancel()
    await asyncio.wait({delivering})
