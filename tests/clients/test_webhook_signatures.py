"""Signatures of webhooks, verified by the package `standardwebhooks` of npm."""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from parley.ids import new_id
from webhooks.outgoing.signing import new_secret, shown, signature_headers

pytestmark = pytest.mark.e2e
PROGRAM = """
import { Webhook } from "standardwebhooks";
const { secret, headers, body } = JSON.parse(process.env.DELIVERY);
const webhook = new Webhook(secret);
console.log(webhook.verify(body, headers).type);
try { webhook.verify(body + " ", headers); } catch (error) { console.log(error.name, error.message); }
"""


async def test_the_package_of_npm_verifies_a_delivery_and_refuses_a_changed_one(
    tmp_path: Path, node: str, packages: Path, run_program: Callable[..., Awaitable[tuple[int, str]]]
) -> None:
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    (tmp_path / "verify.mjs").write_text(PROGRAM)
    key, body = new_secret(), b'{"type":"user.updated"}'
    headers = signature_headers(new_id(), int(time.time()), body, [key])
    delivery = json.dumps({"secret": shown(key), "headers": headers, "body": body.decode()})
    status, output = await run_program(node, "verify.mjs", folder=tmp_path, seconds=180, DELIVERY=delivery)
    assert (status, output.splitlines()) == (
        0,
        ["user.updated", "WebhookVerificationError No matching signature found"],
    ), output
