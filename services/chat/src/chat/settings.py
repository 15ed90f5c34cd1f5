"""Settings of the chat service."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from chat.bucket_settings import BucketSettings
from parley.config.settings import DataSettings
from parley.config.urls import PostgresUrl, WebUrl

OPENAI_BASE_URL = "https://api.openai.com/v1"
DEFAULT_FINISH_PENDING_AFTER: float = 30


class ChatSettings(DataSettings, BucketSettings):
    """Settings of the chat service, read from the environment."""

    model_config = SettingsConfigDict(protected_namespaces=())
    service: ClassVar[str] = "chat"
    speaks_websocket: ClassVar[bool] = True
    prefixes_of_tools: ClassVar[tuple[str, ...]] = ("AWS_", "AZURE_", "GOOGLE_")

    port: int = Field(8002, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9002, ge=0, le=65535, description="Admin port. 0 selects a free port.")
    database_url: PostgresUrl = Field(
        description="Postgres DSN of the chat database.",
        validation_alias=AliasChoices("CHAT_DATABASE_URL", "DATABASE_URL"),
    )
    auth_url: WebUrl = Field(
        "http://localhost:8001", description="Base URL of the auth service, for service tokens and the plans of users."
    )
    history_url: WebUrl = Field("http://localhost:8003", description="Base URL of the history service.")
    internal_client_secret: SecretStr | None = Field(
        None, description="Client secret of chat at auth, for tokens with which it calls history."
    )

    openai_api_key: SecretStr | None = Field(None, description="API key of the OpenAI-compatible provider.")
    openai_base_url: WebUrl | None = Field(
        None, description=f"Base URL of the provider. Defaults to {OPENAI_BASE_URL} if a key is set."
    )
    openai_model: str = Field("gpt-4o-mini", description="Provider model of the alias `default`.")
    openai_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds to wait for the provider's first byte and between tokens."
    )
    openai_max_retries: int = Field(2, ge=0, le=10, description="Maximum retries before the first token.")
    model_provider: str | None = Field(None, description="Provider name in the catalogue and in the price list.")
    model_name: str | None = Field(None, description="Display name of the model. Defaults to the provider's name.")
    model_context_window: int = Field(
        128_000, ge=256, le=1_000_000_000, description="Context window of the model in tokens."
    )
    model_max_output_tokens: int = Field(4096, ge=1, le=1_000_000_000, description="Maximum answer length in tokens.")
    models_file: Path | None = Field(
        None,
        description="YAML file with the model catalogue, such as deploy/models.example.yaml. Replaces OPENAI_MODEL.",
    )
    plans_file: Path | None = Field(
        None, description="YAML file of plans. Without it, every user has the default plan."
    )
    files_url: str | None = Field(
        None,
        description="Where files of users are stored: a folder (`file:///var/lib/parley/files`), or a bucket "
        "of S3 (`s3://bucket/prefix`), Google Cloud Storage (`gs://bucket/prefix`) or Azure "
        "(`az://container/prefix`) with the settings `AWS_…`, `GOOGLE_…` or `AZURE_…`. "
        "All replicas need the same one: a folder serves one host, unless the others mount it. "
        "Without it, files are not offered. `make run` uses a folder.",
    )

    enable_cache: bool = Field(False, description="Answer a repeated prompt of the same user from the response cache.")
    cache_ttl: int = Field(
        3600,
        ge=1,
        le=86_400,
        description="Lifetime of a cached response in seconds. Each entry takes 180 bytes of Redis.",
    )

    turn_timeout: float = Field(600, gt=0, le=86_400, description="Maximum duration of a turn in seconds.")
    finish_pending_after: float = Field(
        DEFAULT_FINISH_PENDING_AFTER,
        gt=0,
        le=600,
        description="Seconds after which clients are told to poll, if the database cannot store a finished answer.",
    )
    answer_limit: int = Field(1_000_000, ge=1000, le=1_000_000_000, description="Maximum answer length in characters.")
    max_running_turns: int = Field(2000, ge=1, le=1_000_000, description="Maximum concurrent turns per process.")
    turn_retention: float = Field(
        7 * 86_400,
        gt=0,
        le=315_360_000,
        description="Seconds to keep a turn's content after history has confirmed the turn.",
    )
    event_retention: float = Field(86_400, gt=0, le=315_360_000, description="Seconds to keep a published event.")
    reconcile_interval: float = Field(
        60, gt=0, le=86_400, description="Interval of the comparison with history in seconds."
    )
