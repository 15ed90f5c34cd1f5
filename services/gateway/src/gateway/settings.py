"""What the gateway can be told."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from parley.config.settings import ServiceSettings

MIB = 1_048_576
DEVELOPMENT_ORIGINS = "http://localhost:*,http://127.0.0.1:*"


class GatewaySettings(ServiceSettings):
    """Settings of the gateway."""

    service: ClassVar[str] = "gateway"
    speaks_websocket: ClassVar[bool] = True

    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9000, ge=0, le=65535, description="The admin port; 0 takes a free one.")
    redis_url: SecretStr = Field(description="Redis URL.")
    auth_url: str = Field("http://localhost:8001", description="Addresses of auth, separated by commas.")
    chat_url: str = Field("http://localhost:8002", description="Addresses of chat, separated by commas.")
    history_url: str = Field("http://localhost:8003", description="Addresses of history, separated by commas.")
    jwks_url: str | None = Field(
        None, description="Where the keys that verify access tokens are; by default asked of auth."
    )
    internal_client_secret: SecretStr | None = Field(
        None, description="The gateway's own client secret at auth, to ask about revocations while Redis is away."
    )
    plans_file: Path | None = Field(None, description="YAML file of plans; without it everybody has the default plan.")
    rate_limit_requests: int = Field(600, ge=1, description="Requests of one user in each window.")
    rate_limit_window: int = Field(60, ge=1, le=86_400, description="The window in seconds.")
    rate_limit_burst: int = Field(100, ge=1, description="Requests of one user at once.")
    anonymous_rate_limit: int = Field(
        120, ge=1, description="Requests a minute of one address on routes without credentials, and with wrong ones."
    )
    rate_limit_patience: float = Field(
        0.05, gt=0, le=5, description="Seconds Redis may take for a decision before this process decides by its share."
    )
    streams_per_user: int = Field(20, ge=1, description="Streams and turns one user may have open.")
    cors_origins: str = Field(
        "",
        description="Origins whose pages may call, separated by commas; a port may be `*`. Development: localhost.",
    )
    trusted_proxies: str = Field(
        "", description="Networks (CIDR, separated by commas) whose X-Forwarded-* headers are believed."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes that share the port; the n-th serves its admin port at ADMIN_PORT + n."
    )
    header_limit: int = Field(32_768, ge=1024, description="Most bytes of a request's head.")
    header_count_limit: int = Field(100, ge=10, description="Most fields of a request's head.")
    header_timeout: float = Field(10, gt=0, description="Seconds in which a request's head must arrive.")
    body_timeout: float = Field(
        10, gt=0, description="Seconds a client may take for its next part of a body: 1 KiB for each of them."
    )
    write_timeout: float = Field(
        30, gt=0, description="Seconds a client may take to read its next part of what waits: 1 KiB for each of them."
    )
    idle_timeout: float = Field(60, gt=0, description="Seconds an upstream may be silent inside an answer.")
    connect_timeout: float = Field(1, gt=0, description="Seconds to connect to an upstream.")
    upstream_connections: int = Field(
        512, ge=1, description="Most requests that wait for one upstream address to answer; streams are not counted."
    )
    upstream_queue: int = Field(512, ge=0, description="Most requests that wait for a free upstream connection.")
    max_streams: int = Field(10_000, ge=1, description="Most streams open in this process.")
    max_connections: int = Field(20_000, ge=1, description="Most client connections of this process.")

    def origins(self) -> list[str]:
        """Return the allowed origins; in development those of this machine when none are named."""
        default = DEVELOPMENT_ORIGINS if self.environment == "development" else ""
        return split(self.cors_origins or default)

    def keys_url(self) -> str:
        """Return where auth's public keys are."""
        return self.jwks_url or f"{split(self.auth_url)[0].rstrip('/')}/.well-known/jwks.json"


def split(text: str) -> list[str]:
    """Return the entries of a list separated by commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]
