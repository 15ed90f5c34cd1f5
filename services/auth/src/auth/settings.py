"""Settings of auth."""

import ipaddress
import json
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator

from auth.security import identifiers
from parley.config.settings import DataSettings
from parley.config.urls import PostgresUrl, is_url
from parley.security.encryption import SecretKey, read_key

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MIN_CLIENT_SECRET = 32
MAX_CLIENT_SECRETS = 2
"""Valid secrets of one service: the old and the new one while it is rotated."""


class AuthSettings(DataSettings):
    """Settings of the auth service."""

    service: ClassVar[str] = "auth"

    port: int = Field(8001, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9001, ge=0, le=65535, description="Admin port. 0 selects a free port.")
    database_url: PostgresUrl = Field(
        description="PostgreSQL DSN of the database of auth.",
        validation_alias=AliasChoices("AUTH_DATABASE_URL", "DATABASE_URL"),
    )
    auth_secret_key: SecretKey = Field(
        description="Key that encrypts the signing keys at rest: at least 32 random bytes in base64 or hex. "
        "Keep a backup: without it the stored keys are lost and every access token is invalid."
    )
    registration: Literal["open", "closed"] = Field("closed", description="`open` lets anyone create an account.")
    password_min_length: int = Field(
        12,
        ge=8,
        le=64,
        description="Minimum password length in characters. NIST recommends 15 if the password is the only factor.",
    )
    password_queue: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Maximum number of logins that wait for a password check; further ones get 503 `overloaded`.",
    )
    access_token_lifetime: int = Field(900, ge=30, le=900, description="Lifetime of an access token in seconds.")
    refresh_token_lifetime: int = Field(
        2_592_000, ge=60, le=31_536_000, description="Maximum lifetime of a session in seconds, from the login on."
    )
    refresh_idle_lifetime: int = Field(
        2_592_000, ge=60, le=31_536_000, description="Seconds after which a session ends if it is not refreshed."
    )
    refresh_reuse_window: float = Field(
        10,
        ge=0,
        le=60,
        description="Seconds in which a reused refresh token returns the same successor instead of ending the session.",
    )
    signing_key_max_age: int = Field(
        7_776_000, ge=3600, le=63_072_000, description="Seconds after which a signing key is replaced (90 days)."
    )
    signing_key_publish_ahead: float = Field(
        360, ge=0, le=86_400, description="Seconds between the publication of a signing key and its first signature."
    )
    signing_key_poll: float = Field(5, gt=0, le=60, description="Seconds between two queries for changed signing keys.")
    audit_retention_days: int = Field(
        365, ge=30, le=3650, description="Days that entries of the audit log are kept; then they are deleted."
    )
    plans_file: Path | None = Field(
        None, description="YAML file of plans. Without it, every user has the default plan."
    )
    trusted_proxies: str = Field(
        "127.0.0.0/8,::1/128",
        description="Comma-separated addresses or networks of proxies whose `X-Forwarded-For` is trusted.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server as `smtp://` or `smtps://user:password@host:port`. Enables password reset by mail, "
        "e-mail verification and security notices. "
        "Credentials are sent only over TLS.",
    )
    smtp_from: str | None = Field(None, description="Sender address of mails; required with `SMTP_URL`.")
    password_reset_url: str | None = Field(
        None,
        description="URL of the page for a new password, called with `#token=…`. Default: `/reset` of `PUBLIC_URL`.",
    )
    email_verification_url: str | None = Field(
        None,
        description="URL of the page that verifies an e-mail address, called with `#token=…`. "
        "Default: `/verify-email` of `PUBLIC_URL`.",
    )
    internal_clients: SecretStr = Field(
        SecretStr("{}"),
        description="JSON object of the services that may request tokens: name to secret (at least 32 characters), or "
        "to a list of two, the old and the new one, during a rotation.",
    )

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_url(value.get_secret_value(), "smtp", "smtps"):
            raise ValueError("must be a URL of the form smtp://host:port or smtps://user:password@host:port")
        return value

    @field_validator("smtp_from")
    @classmethod
    def _normalise_sender(cls, value: str | None) -> str | None:
        return None if value is None else identifiers.email(value)

    @field_validator("password_reset_url", "email_verification_url")
    @classmethod
    def _check_page_url(cls, value: str | None) -> str | None:
        if value is not None and (not is_url(value, "http", "https") or "#" in value):
            raise ValueError("must be an http:// or https:// URL without a fragment")
        return value

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        self.proxies()
        self.clients()
        if self.smtp_url is not None and self.smtp_from is None:
            raise ValueError("SMTP_FROM is required with SMTP_URL")
        return self

    def reset_page(self) -> str:
        """Return the URL of the page that gets the reset token as a fragment."""
        return self.password_reset_url or f"{self.issuer()}/reset"

    def verification_page(self) -> str:
        """Return the URL of the page that gets the e-mail verification token as a fragment."""
        return self.email_verification_url or f"{self.issuer()}/verify-email"

    def secret_key(self) -> bytes:
        """Return the bytes of ``AUTH_SECRET_KEY``."""
        return read_key(self.auth_secret_key.get_secret_value())

    def proxies(self) -> tuple[Network, ...]:
        """Return the networks of ``TRUSTED_PROXIES``."""
        parts = [part.strip() for part in self.trusted_proxies.split(",") if part.strip()]
        try:
            return tuple(ipaddress.ip_network(part, strict=False) for part in parts)
        except ValueError:
            raise ValueError("TRUSTED_PROXIES contains an entry that is not an address or network") from None

    def clients(self) -> dict[str, tuple[str, ...]]:
        """Return the valid secrets of ``INTERNAL_CLIENTS`` by service name."""
        try:
            found = json.loads(self.internal_clients.get_secret_value())  # nosemgrep: lenient-json - a setting
        except ValueError:
            raise ValueError("INTERNAL_CLIENTS is not a JSON object") from None
        if not isinstance(found, dict):
            raise ValueError("INTERNAL_CLIENTS must be a JSON object of service names and secrets")  # noqa: TRY004
        return {name: _client_secrets(name, value) for name, value in found.items()}


def _client_secrets(name: str, value: object) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    secrets = tuple(secret for secret in given if isinstance(secret, str))
    if not 1 <= len(given) <= MAX_CLIENT_SECRETS or len(secrets) < len(given):
        raise ValueError(f"INTERNAL_CLIENTS: {name} needs a secret, or a list of at most {MAX_CLIENT_SECRETS}")
    if any(len(secret) < MIN_CLIENT_SECRET for secret in secrets):
        raise ValueError(f"INTERNAL_CLIENTS: the secret of {name} is shorter than {MIN_CLIENT_SECRET}")
    return secrets
