"""Settings of `parley run`. The settings of each service apply too."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr

from parley.config.settings import ServiceSettings


class LocalSettings(ServiceSettings):
    """Settings of the launcher."""

    service: ClassVar[str] = "local"

    environment: str = Field("development", description="`make run` is a development environment.")  # type: ignore[assignment]
    log_level: str = Field("warning", description="Minimum log level in `.parley/parley.log`.")  # type: ignore[assignment]
    data_dir: Path = Field(
        Path(".parley"),
        validation_alias=AliasChoices("PARLEY_DATA_DIR"),
        description="Folder in which `make run` stores databases, secrets and logs.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="`make run`: DSN of an administrator of a Postgres server that replaces the embedded one.",
    )
    redis_url: SecretStr | None = Field(None, description="`make run`: URL of a Redis that replaces the embedded one.")
    openai_api_key: SecretStr | None = Field(
        None, description="`make run`: API key of a provider that replaces the local model."
    )
    openai_base_url: str | None = Field(
        None, description="`make run`: base URL of a provider that replaces the local model."
    )
