"""Settings of the gateway, from environment variables."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from parley.config.settings import REDIS_URL_HELP, ServiceSettings
from parley.config.urls import RedisUrl, WebUrl, is_origin

DEVELOPMENT_ORIGINS = "http://localhost:*,http://127.0.0.1:*"


class GatewaySettings(ServiceSettings):
    """Settings of the gateway."""

    service: ClassVar[str] = "gateway"
    speaks_websocket: ClassVar[bool] = True

    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9000, ge=0, le=65535, description="Admin port. 0 selects a free port.")
    redis_url: RedisUrl = Field(description=REDIS_URL_HELP)
    auth_url: str = Field("http://localhost:8001", description="Addresses of auth, separated by commas.")
    chat_url: str = Field("http://localhost:8002", description="Addresses of chat, separated by commas.")
    history_url: str = Field("http://localhost:8003", description="Addresses of history, separated by commas.")
    webhooks_url: str = Field("http://localhost:8004", description="Addresses of webhooks, separated by commas.")
    jwks_url: WebUrl | None = Field(
        None, description="URL of the public keys that verify access tokens. Default: the JWKS of auth."
    )
    internal_client_secret: SecretStr | None = Field(
        None, description="Client secret of the gateway at auth, to look up revocations while Redis is unavailable."
    )
    plans_file: Path | None = Field(
        None, description="YAML file of plans. Without it, every user has the default plan."
    )
    rate_limit_requests: int = Field(600, ge=1, le=1_000_000_000, description="Requests per window and user.")
    rate_limit_window: int = Field(60, ge=1, le=86_400, description="Window of the rate limit in seconds.")
    rate_limit_burst: int = Field(100, ge=1, le=1_000_000_000, description="Requests a user may send at once.")
    anonymous_rate_limit: int = Field(
        120,
        ge=1,
        le=1_000_000_000,
        description="Requests per minute and client address: without valid credentials, refused, preflights, probes.",
    )
    rate_limit_patience: float = Field(
        0.05,
        gt=0,
        le=5,
        description="Seconds to wait for Redis before this process enforces its share of the rate limits alone.",
    )
    streams_per_user: int = Field(20, ge=1, le=1_000_000, description="Maximum open streams and turns per user.")
    cors_origins: str = Field(
        "",
        description="Origins whose pages may call the API, separated by commas. `*` stands for any port. "
        "Default in development: localhost.",
    )
    console: Literal["on", "off"] = Field(
        "on", description="`on` serves the console, a web app for people and operators, at `/`."
    )
    trusted_proxies: str = Field(
        "", description="Networks (CIDR, separated by commas) whose X-Forwarded-* headers are used."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes that share the port. The n-th (from 0) uses admin port ADMIN_PORT + n."
    )
    header_limit: int = Field(32_768, ge=1024, le=100_000, description="Maximum size of a request head in bytes.")
    header_count_limit: int = Field(100, ge=10, le=250, description="Maximum number of header fields in a request.")
    header_timeout: float = Field(
        10, gt=0, le=3600, description="Seconds in which a complete request head must arrive."
    )
    body_timeout: float = Field(
        10, gt=0, le=3600, description="Window in seconds for sending a request body, at 1 KiB per second on average."
    )
    write_timeout: float = Field(
        30,
        gt=0,
        le=3600,
        description="Window in seconds for reading a pending response, at 1 KiB per second on average.",
    )
    idle_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds an upstream may send nothing inside a response."
    )
    connect_timeout: float = Field(1, gt=0, le=3600, description="Seconds to connect to an upstream.")
    upstream_connections: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="Maximum requests that await a response from one upstream address, without streams.",
    )
    upstream_queue: int = Field(
        512, ge=0, le=1_000_000, description="Maximum requests that wait for a free upstream connection."
    )
    max_streams: int = Field(10_000, ge=1, le=1_000_000, description="Maximum open streams of this process.")
    max_connections: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="Maximum client connections of this process. The default is lower where the limit on open files "
        "requires it.",
    )
    max_connections_per_address: int = Field(
        256,
        ge=1,
        le=1_000_000,
        description="Maximum connections of one client address (IPv6: /64 network) to this process. Proxies in "
        "TRUSTED_PROXIES are exempt.",
    )

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        if not all(map(is_origin, split_list(value))):
            raise ValueError("must be origins such as https://chat.example.org, separated by commas; * is any port")
        return value

    def origins(self) -> list[str]:
        """Return the allowed origins. In development, the default is localhost with any port."""
        default = DEVELOPMENT_ORIGINS if self.environment == "development" else ""
        return split_list(self.cors_origins or default)

    def keys_url(self) -> str:
        """Return the URL of the public keys that verify access tokens."""
        return self.jwks_url or f"{split_list(self.auth_url)[0].rstrip('/')}/.well-known/jwks.json"


def split_list(text: str) -> list[str]:
    """Return the entries of a comma-separated list."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]
