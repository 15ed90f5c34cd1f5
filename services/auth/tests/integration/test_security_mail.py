"""Verification of addresses, and mails about security events, over SMTP."""

import pytest

from auth.mail.notices import SecurityEvent
from auth_testing.app import RunningAuth
from auth_testing.mail_sink import VERIFY, MailSink, address, verified_person

pytestmark = pytest.mark.integration

ASK = "/api/v1/auth/password-reset/request"


async def test_an_address_that_is_not_verified_gets_no_link(mailing: RunningAuth, sink: MailSink) -> None:
    stranger, known = await mailing.person(), await verified_person(mailing, sink)
    for person in (stranger, known):
        await mailing.client.post(ASK, json={"email": person.address})
    assert (await sink.next())["to"] == address(known)
    assert sink.has_none()


async def test_a_changed_address_is_told_and_gets_no_more_links(mailing: RunningAuth, sink: MailSink) -> None:
    person, known = await verified_person(mailing, sink), await verified_person(mailing, sink)
    new = f"new-{address(person)}"
    changed = await person.call("PATCH", "/api/v1/auth/me", json={"email": new})
    assert (changed.json()["email"], changed.json()["email_verified"]) == (new, False)
    assert (await sink.next(SecurityEvent.EMAIL_CHANGED.value))["to"] == address(person)
    for written in (address(person), new, address(known)):
        await mailing.client.post(ASK, json={"email": written})
    assert (await sink.next())["to"] == address(known)
    asked = await person.call("POST", f"{VERIFY}/request")
    assert (asked.status_code, asked.json()) == (202, {})


async def test_a_new_device_is_mailed(mailing: RunningAuth, sink: MailSink) -> None:
    person = await verified_person(mailing, sink)
    form = {"grant_type": "password", "username": person.username, "password": "correct horse battery staple"}
    answer = await mailing.client.post("/api/v1/auth/token", data=form, headers={"user-agent": "Another/1.0"})
    assert answer.status_code == 200
    assert (await sink.next(SecurityEvent.NEW_DEVICE.value))["to"] == address(person)
