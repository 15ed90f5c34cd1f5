"""Settings of the history service."""

from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field

from parley.config.settings import DataSettings
from parley.config.urls import PostgresUrl, WebUrl


class HistorySettings(DataSettings):
    """Settings of the API process, which also consumes events unless ``run_consumer`` is false."""

    service: ClassVar[str] = "history"

    port: int = Field(8003, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9003, ge=0, le=65535, description="Admin port. 0 selects a free port.")
    database_url: PostgresUrl = Field(
        validation_alias=AliasChoices("HISTORY_DATABASE_URL", "DATABASE_URL"),
        description="Postgres DSN of this service's own database.",
    )
    auth_url: WebUrl | None = Field(
        None,
        description="Base URL of the auth service, for the user names in reports. Default: the server of `JWKS_URL`.",
    )
    run_consumer: bool = Field(
        True,
        description="Consume events in the API process. Set to `false` where `parley-history-worker` runs.",
    )
    import_limit: int = Field(
        33_554_432, ge=1024, le=1_099_511_627_776, description="Maximum size of an import in bytes."
    )
    retention_days: int = Field(
        30,
        ge=0,
        le=3650,
        description="Days until a deleted conversation is purged, unless the plan sets its own value.",
    )
    plans_file: Path | None = Field(
        None, description="YAML file of plans. Without it, every user has the default plan."
    )
    feed_retention_hours: float = Field(
        72, gt=0, le=8760, description="Hours that feed events are kept. An older cursor gets 410."
    )
    purge_interval: float = Field(60, gt=0, le=86_400, description="Seconds between two purge runs.")

    def auth_base_url(self) -> str:
        """Return the base URL of auth. Default: the server of the signing keys."""
        keys = urlsplit(self.jwks_url)
        return self.auth_url or f"{keys.scheme}://{keys.netloc}"


class WorkerSettings(HistorySettings):
    """Settings of the consumer process."""

    admin_port: int = Field(9013, ge=0, le=65535, description="Admin port. 0 selects a free port.")
