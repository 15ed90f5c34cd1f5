"""Signatures and retries."""

import base64
import os
import time
from uuid import uuid4

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from parley.security.encryption import SecretCipher
from webhooks.outgoing.http_sender import Response
from webhooks.outgoing.signing import WebhookSecrets, new_secret, shown, signature_headers
from webhooks.sending.schedule import RetrySchedule
from webhooks.settings import RETRY_DELAYS

DELAYS = tuple(float(each) for each in RETRY_DELAYS.split(","))


def test_both_secrets_verify_while_a_secret_rotates_and_no_other() -> None:
    old, new, body = new_secret(), new_secret(), b'{"type":"a"}'
    headers = signature_headers(uuid4(), int(time.time()), body, [new, old])
    for key in (old, new):
        assert Webhook(shown(key)).verify(body, headers) == {"type": "a"}
    with pytest.raises(WebhookVerificationError):
        Webhook(shown(new_secret())).verify(body, headers)
    assert len(base64.b64decode(shown(new).removeprefix("whsec_"))) == 32


def test_a_failed_delivery_is_tried_for_three_days_with_growing_delays() -> None:
    schedule = RetrySchedule(DELAYS, rand=lambda: 0.0)
    outcomes = [schedule.outcome(Response(500, "status_500", 3), attempt) for attempt in range(11)]
    assert [outcome.retry_after for outcome in outcomes] == [*DELAYS, None]
    assert [outcome.status for outcome in outcomes] == ["failed"] * 10 + ["dead"]
    assert 72 * 3600 <= sum(DELAYS) <= 80 * 3600


def test_the_delay_has_jitter() -> None:
    late = RetrySchedule(DELAYS, rand=lambda: 1.0).outcome(Response(None, "timeout", 15_000), 0)
    assert late.retry_after == pytest.approx(6.0)


def test_only_2xx_succeeds_and_410_is_the_last_attempt() -> None:
    schedule = RetrySchedule(DELAYS)
    assert schedule.outcome(Response(299, None, 1), 0).status == "delivered"
    assert schedule.outcome(Response(301, "status_301", 1), 0).status == "failed"
    gone = schedule.outcome(Response(410, "status_410", 1), 0)
    assert (gone.status, gone.gone, gone.retry_after) == ("dead", True, None)


def test_a_new_secret_signs_although_the_previous_one_is_from_before_a_change_of_the_key() -> None:
    webhook_id, secret = uuid4(), new_secret()
    before, after = (WebhookSecrets(SecretCipher(os.urandom(32))) for _ in range(2))
    encrypted = [after.encrypt(secret, webhook_id), before.encrypt(new_secret(), webhook_id)]
    assert after.decrypt_all(encrypted, webhook_id) == [secret]
    assert after.decrypt_all(encrypted, uuid4()) == []
