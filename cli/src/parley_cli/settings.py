"""What `make run` can be told; each service's own settings hold too."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr

from parley.config.settings import ServiceSettings


class LocalSettings(ServiceSettings):
    """The launcher's settings."""

    service: ClassVar[str] = "local"

    environment: str = Field("development", description="One machine, one person: `development`.")  # type: ignore[assignment]
    log_level: str = Field("warning", description="Least level that is logged to `.parley/parley.log`.")  # type: ignore[assignment]
    data_dir: Path = Field(
        Path(".parley"),
        validation_alias=AliasChoices("PARLEY_DATA_DIR"),
        description="Where `make run` keeps databases, secrets and logs.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL"),
        description="`make run`: an administrator's DSN of a Postgres to use instead of the embedded one.",
    )
    redis_url: SecretStr | None = Field(None, description="`make run`: a Redis to use instead of the embedded one.")
    openai_api_key: SecretStr | None = Field(None, description="Use this provider instead of the local model.")
    openai_base_url: str | None = Field(None, description="Use this provider instead of the local model.")
