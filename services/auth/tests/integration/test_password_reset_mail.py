"""Password reset by mail."""

import asyncio
import contextlib
import secrets
import socket

import httpx2
import pytest

from auth.audit.model import RequestOrigin
from auth.mail.mailer import MailDeliveryError
from auth.mail.notices import SecurityEvent
from auth.mail.smtp import SmtpMailer
from auth.password_resets.request_queue import ResetRequestQueue
from auth_testing.app import RunningAuth
from auth_testing.mail_sink import PAGE, VERIFY, MailSink, address, token_in, verified_person
from parley.errors import Overloaded

pytestmark = pytest.mark.integration

ASK = "/api/v1/auth/password-reset/request"
RESET = "/api/v1/auth/password-reset"
NEW_PASSWORD = "a completely different phrase"
WITHIN = 15.0


async def ask(auth: RunningAuth, written: str) -> httpx2.Response:
    answer: httpx2.Response = await auth.client.post(ASK, json={"email": written})
    assert (answer.status_code, answer.json()) == (202, {})
    return answer


async def use(auth: RunningAuth, token: str) -> int:
    answer = await auth.client.post(RESET, json={"reset_token": token, "new_password": NEW_PASSWORD})
    return int(answer.status_code)


async def test_the_mailed_link_sets_a_new_password_once_and_ends_every_session(
    mailing: RunningAuth, sink: MailSink
) -> None:
    person = await verified_person(mailing, sink)
    await ask(mailing, address(person).upper())
    mail = await sink.next()
    assert (mail["to"], mail["from"]) == (address(person), "parley@example.org")
    token = token_in(mail)
    assert await use(mailing, token) == 204
    assert (await person.call("GET", "/api/v1/auth/me")).json()["code"] == "session_revoked"
    assert (await person.login(NEW_PASSWORD)).status_code == 200
    assert await use(mailing, token) == 422
    stored = await mailing.rows("SELECT action FROM audit_log WHERE target_id = $1 ORDER BY id", person.id)
    assert [row["action"] for row in stored] == [
        *("user.registered", "email_verification.requested", "email.verified"),
        *("password_reset.requested", "password.reset"),
    ]
    assert (await sink.next(SecurityEvent.PASSWORD_CHANGED.value))["to"] == address(person)


async def test_an_unknown_and_a_disabled_address_get_the_same_answer_and_no_mail(
    mailing: RunningAuth, sink: MailSink
) -> None:
    disabled, known = await verified_person(mailing, sink), await verified_person(mailing, sink)
    await mailing.rows("UPDATE users SET status = 'disabled' WHERE username = $1 RETURNING id", disabled.username)
    answers = [
        await ask(mailing, f"nobody-{secrets.token_hex(4)}@example.org"),
        await ask(mailing, address(disabled)),
        await ask(mailing, address(known)),
    ]
    assert len({(answer.text, tuple(sorted(answer.headers.keys()))) for answer in answers}) == 1
    assert (await sink.next())["to"] == address(known)
    assert sink.has_none()


async def test_an_account_gets_one_mail_a_minute(mailing: RunningAuth, sink: MailSink) -> None:
    eager, other = await verified_person(mailing, sink), await verified_person(mailing, sink)
    for _ in range(5):
        await ask(mailing, address(eager))
    await ask(mailing, address(other))
    assert [(await sink.next())["to"] for _ in range(2)] == [address(eager), address(other)]
    await mailing.rows(
        "UPDATE password_resets SET expires_at = expires_at - interval '61 seconds' WHERE user_id = $1::uuid "
        "RETURNING user_id",
        eager.id,
    )
    await ask(mailing, address(eager))
    assert (await sink.next())["to"] == address(eager)


async def test_a_second_request_does_not_invalidate_the_first_link(mailing: RunningAuth, sink: MailSink) -> None:
    person = await verified_person(mailing, sink)
    await ask(mailing, address(person))
    first = token_in(await sink.next())
    await mailing.rows(
        "UPDATE password_resets SET expires_at = expires_at - interval '61 seconds' WHERE user_id = $1::uuid "
        "RETURNING user_id",
        person.id,
    )
    await ask(mailing, address(person))
    second = token_in(await sink.next())
    assert await use(mailing, first) == 204
    assert await use(mailing, second) == 422


@pytest.mark.parametrize("change", ["address", "password"])
async def test_a_link_is_invalid_after_the_owner_changes_the(change: str, mailing: RunningAuth, sink: MailSink) -> None:
    person = await verified_person(mailing, sink)
    await ask(mailing, address(person))
    token = token_in(await sink.next())
    if change == "address":
        new = {"email": f"new-{address(person)}"}
        assert (await person.call("PATCH", "/api/v1/auth/me", json=new)).status_code == 200
    else:
        body = {"current_password": "correct horse battery staple", "new_password": f"{NEW_PASSWORD} 2"}
        assert (await person.call("POST", "/api/v1/auth/me/password", json=body)).status_code == 204
    assert await use(mailing, token) == 422


async def test_a_refused_mail_is_logged_without_address_or_token_and_the_next_is_sent(
    mailing: RunningAuth, sink: MailSink, capsys: pytest.CaptureFixture[str]
) -> None:
    refused, known = await verified_person(mailing, sink), await verified_person(mailing, sink)
    sink.refuses = True
    await ask(mailing, address(refused))
    await ask(mailing, address(known))
    mail = await sink.next()
    assert mail["to"] == address(known)
    logged = "".join(capsys.readouterr())
    assert "password_reset_mail_failed" in logged
    assert not [secret for secret in (address(refused), "prs_", token_in(mail)) if secret in logged]


async def test_the_request_route_is_missing_without_a_mail_server(auth: RunningAuth) -> None:
    for path, body in ((ASK, {"email": "ada@example.org"}), (ASK, {"nonsense": True}), (VERIFY, {})):
        answer = await auth.client.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_invalid_address_is_refused(mailing: RunningAuth) -> None:
    answer = await mailing.client.post(ASK, json={"email": "ada@example.org\r\nBcc: eve@example.org"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/email")


async def send(url: str, to: str = "ada@example.org") -> None:
    with contextlib.closing(SmtpMailer(url, "parley@example.org", timeout=0.5)) as mailer:
        await asyncio.wait_for(mailer.send(to, "subject", "text"), WITHIN)


@pytest.mark.parametrize("to", ["=?utf-8?q?=61da?=@example.org", "=?utf-8?q?eve=40example.com=2C?=@example.org"])
async def test_nothing_is_sent_to_an_address_that_stands_for_another_one(sink: MailSink, to: str) -> None:
    with pytest.raises(MailDeliveryError, match="ValueError"):
        await send(f"smtp://127.0.0.1:{sink.port}", to)


async def test_credentials_are_not_sent_without_tls(sink: MailSink) -> None:
    with pytest.raises(MailDeliveryError, match="SMTPNotSupportedError"):
        await send(f"smtp://ada:secret@127.0.0.1:{sink.port}")


async def test_a_silent_mail_server_times_out() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(MailDeliveryError, match="SMTPServerDisconnected"),
    ):
        await send(f"smtp://127.0.0.1:{silent.getsockname()[1]}")


async def test_a_full_request_queue_returns_overloaded(mailing: RunningAuth) -> None:
    requests = ResetRequestQueue(
        mailing.services.stores.password_resets, SmtpMailer("smtp://nowhere", "a@b.c"), url=PAGE, capacity=1
    )
    requests.add("ada@example.org", RequestOrigin())
    with pytest.raises(Overloaded):
        requests.add("ada@example.org", RequestOrigin())
