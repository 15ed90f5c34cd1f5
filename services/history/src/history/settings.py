"""What history can be told."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr

from parley.config.settings import DataSettings


class HistorySettings(DataSettings):
    """The API, and the consumer inside it unless that runs as its own process."""

    service: ClassVar[str] = "history"

    port: int = Field(8003, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9003, ge=0, le=65535, description="The admin port; 0 takes a free one.")
    database_url: SecretStr = Field(
        validation_alias=AliasChoices("HISTORY_DATABASE_URL", "DATABASE_URL"),
        description="Postgres DSN of this service's own database.",
    )
    run_consumer: bool = Field(
        True, description="Consume events in the API's process; `false` where `parley-history-worker` runs."
    )
    import_limit: int = Field(33_554_432, ge=1024, description="Largest import in bytes.")
    retention_days: int = Field(
        30, ge=0, le=3650, description="Days until a deleted conversation is purged, where the plan says nothing else."
    )
    plans_file: Path | None = Field(
        None, description="`plans.yaml`: limits, models, budgets and retention of each plan."
    )
    feed_retention_hours: float = Field(
        72, gt=0, le=8760, description="Hours that the event feed can be resumed; an older cursor is 410."
    )
    purge_interval: float = Field(60, gt=0, le=86_400, description="Seconds between two rounds of purging.")


class WorkerSettings(HistorySettings):
    """The consumer as its own process."""

    admin_port: int = Field(9013, ge=0, le=65535, description="The admin port; 0 takes a free one.")
