"""Settings of the webhook service."""

import ipaddress
from typing import ClassVar

from pydantic import AliasChoices, Field, field_validator

from parley.config.settings import DataSettings
from parley.config.urls import PostgresUrl
from parley.security.encryption import SecretKey

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
RETRY_DELAYS = "5,60,300,1800,7200,18000,36000,50400,72000,86400"
MAX_RETRIES, MAX_RETRY_DELAY = 50, 604_800.0


class WebhooksSettings(DataSettings):
    """Settings of the process that serves the routes, takes events in, and sends them."""

    service: ClassVar[str] = "webhooks"

    port: int = Field(8004, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9004, ge=0, le=65535, description="Admin port. 0 selects a free port.")
    database_url: PostgresUrl = Field(
        validation_alias=AliasChoices("WEBHOOKS_DATABASE_URL", "DATABASE_URL"),
        description="Postgres DSN of the database of webhooks.",
    )
    webhooks_secret_key: SecretKey = Field(
        description="Key that encrypts the secrets of webhooks at rest: at least 32 random bytes in base64 or hex. "
        "Keep a backup: without it every webhook needs a new secret."
    )
    webhooks_allow_http: bool = Field(False, description="Accept webhook URLs with `http://`.")
    webhooks_allowed_networks: str = Field(
        "",
        description="Comma-separated networks to which webhooks may connect although they are private, such as "
        "`10.1.2.0/24`. Users with the scope `webhooks` can make Parley send requests there.",
    )
    webhooks_retry_delays: str = Field(
        RETRY_DELAYS,
        description="Comma-separated seconds before each retry of a delivery; up to 20 % are added at random.",
    )
    webhooks_disable_after: float = Field(
        432_000,
        gt=0,
        le=2_592_000,
        description="Seconds without a successful delivery after which a webhook that fails is disabled.",
    )
    webhooks_max_in_flight: int = Field(5, ge=1, le=100, description="Requests at once to one webhook.")
    webhooks_retention_days: int = Field(
        30, ge=1, le=365, description="Days that events and their deliveries are kept, for redelivery."
    )

    @field_validator("webhooks_allowed_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        _read_networks(value)
        return value

    @field_validator("webhooks_retry_delays")
    @classmethod
    def _delays(cls, value: str) -> str:
        found = _read_delays(value)
        if not 1 <= len(found) <= MAX_RETRIES or not all(0 <= delay <= MAX_RETRY_DELAY for delay in found):
            raise ValueError(f"must be 1 to {MAX_RETRIES} numbers of seconds, each at most {MAX_RETRY_DELAY:.0f}")
        return value

    def networks(self) -> tuple[Network, ...]:
        """Return the private networks to which webhooks may connect."""
        return _read_networks(self.webhooks_allowed_networks)

    def retry_delays(self) -> tuple[float, ...]:
        """Return the seconds before each retry."""
        return _read_delays(self.webhooks_retry_delays)


def _read_networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be networks such as 10.1.2.0/24, separated by commas") from None


def _read_delays(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError("must be numbers of seconds, separated by commas") from None
