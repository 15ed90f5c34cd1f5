"""Settings of `parley run`. The settings of each service apply too, except those in ``stack.refused_settings``."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import AliasChoices, Field, SecretStr

from parley.config.settings import ServiceSettings
from parley.config.urls import PostgresUrl, RedisUrl, WebUrl

MAX_FIRST_PORT = 65_531
"""The other services use the four ports after the gateway's."""


class LocalSettings(ServiceSettings):
    """Settings of the launcher."""

    service: ClassVar[str] = "local"

    environment: Literal["production", "development"] = Field(
        "development", description="`make run` is a development environment."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Minimum log level in `.parley/parley.log`."
    )
    trusted_proxies: str = Field("", description="Networks whose X-Forwarded-* headers are used.")
    registration: Literal["open", "closed"] = Field("open", description="`open` lets anyone create an account.")
    data_dir: Path = Field(
        Path(".parley"),
        validation_alias=AliasChoices("PARLEY_DATA_DIR"),
        description="Folder in which `make run` stores databases, secrets and logs.",
    )
    database_url: PostgresUrl | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="DSN of an administrator of a Postgres server that replaces the embedded one.",
    )
    database_pool_size: int = Field(8, ge=2, le=200, description="Maximum Postgres connections of each service.")
    database_pool_min_size: int = Field(
        2, ge=1, le=200, description="Postgres connections of each service that stay open, up to the maximum."
    )
    redis_url: RedisUrl | None = Field(None, description="URL of a Redis that replaces the embedded one.")
    openai_api_key: SecretStr | None = Field(None, description="API key of a provider that replaces the local model.")
    openai_base_url: WebUrl | None = Field(None, description="Base URL of a provider that replaces the local model.")
    models_file: Path | None = Field(
        None, description="YAML file with the models of providers that replace the local model."
    )

    def base_url(self) -> str:
        """Return the public URL. Default: the URL of the gateway's port on this machine."""
        return self.public_url if "public_url" in self.model_fields_set else f"http://localhost:{self.port}"

    def has_provider(self) -> bool:
        """Return whether a provider is configured, which replaces the local model."""
        return bool(self.openai_api_key or self.openai_base_url or self.models_file)
