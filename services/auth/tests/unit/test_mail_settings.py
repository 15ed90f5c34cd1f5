"""Validation of the mail settings."""

import secrets
from typing import Any

import pytest

from auth.settings import AuthSettings
from parley.config.settings import SettingsError, load

MAIL = {"smtp_url": "smtps://ada:secret@mail.example.org:465", "smtp_from": "parley@example.org"}


def settings(**mail: Any) -> AuthSettings:
    required = {
        "database_url": "postgresql://a@b/c",
        "redis_url": "redis://b",
        "auth_secret_key": secrets.token_hex(32),
    }
    return load(AuthSettings, **required, **mail)


def test_the_reset_page_is_below_the_public_url_by_default() -> None:
    assert settings(**MAIL, public_url="https://chat.example.org/").reset_page() == "https://chat.example.org/reset"
    assert settings(**MAIL, password_reset_url="https://a.example/b").reset_page() == "https://a.example/b"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"smtp_url": "smtp://mail.example.org", "smtp_from": None}, "SMTP_FROM"),
        ({"smtp_url": "http://ada:secret@mail.example.org"}, "SMTP_URL"),
        ({"smtp_url": "smtp://"}, "SMTP_URL"),
        ({"smtp_url": "smtp://secret:70000"}, "SMTP_URL"),
        ({"smtp_from": "nobody"}, "SMTP_FROM"),
        ({"password_reset_url": "chat.example.org"}, "PASSWORD_RESET_URL"),
        ({"password_reset_url": "https://chat.example.org/#page"}, "PASSWORD_RESET_URL"),
    ],
)
def test_a_wrong_mail_setting_is_named_and_its_value_is_not_shown(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**{**MAIL, **wrong})
    assert named in str(refused.value)
    assert "secret" not in str(refused.value)
