"""Settings of chat."""

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from parley.config.settings import DataSettings

OPENAI_BASE_URL = "https://api.openai.com/v1"
DEFAULT_FINISH_PENDING_AFTER: float = 30


class ChatSettings(DataSettings):
    """What chat can be told."""

    model_config = SettingsConfigDict(protected_namespaces=())
    service: ClassVar[str] = "chat"
    speaks_websocket: ClassVar[bool] = True

    port: int = Field(8002, ge=0, le=65535, description="Port to listen on.")
    admin_port: int = Field(9002, ge=0, le=65535, description="The admin port; 0 takes a free one.")
    database_url: SecretStr = Field(
        description="Postgres DSN of chat's own database.",
        validation_alias=AliasChoices("CHAT_DATABASE_URL", "DATABASE_URL"),
    )
    auth_url: str = Field("http://localhost:8001", description="Where auth is, for service tokens.")
    history_url: str = Field("http://localhost:8003", description="Where history is.")
    internal_client_secret: SecretStr | None = Field(
        None, description="Secret of the client `parley-chat`, for calls without a user (better: a secret file)."
    )

    openai_api_key: SecretStr | None = Field(None, description="Key of the OpenAI-compatible provider.")
    openai_base_url: str | None = Field(
        None, description=f"Base URL of the provider; with a key alone {OPENAI_BASE_URL}."
    )
    openai_model: str = Field("gpt-4o-mini", description="The provider's model behind the alias `default`.")
    openai_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds to wait for the provider's first byte, and between two tokens."
    )
    openai_max_retries: int = Field(2, ge=0, le=10, description="Attempts more than one before the first token.")
    model_provider: str | None = Field(None, description="Name of the provider in the catalogue and for prices.")
    model_name: str | None = Field(None, description="What the catalogue calls the model; default its own name.")
    model_context_window: int = Field(128_000, ge=256, description="Tokens the model can see.")
    model_max_output_tokens: int = Field(4096, ge=1, description="Most tokens of one answer.")
    models_file: Path | None = Field(None, description="YAML catalogue of models, instead of the single OPENAI_MODEL.")
    plans_file: Path | None = Field(None, description="YAML of plans: limits and budgets.")

    enable_cache: bool = Field(
        False, description="Give the answer a person got before to the same question of theirs, without the provider."
    )
    cache_ttl: int = Field(
        3600,
        ge=1,
        le=86_400,
        description="Seconds for which an answer is given again; each question takes 180 bytes of Redis for as long.",
    )

    turn_timeout: float = Field(600, gt=0, le=86_400, description="Most seconds a turn may take.")
    finish_pending_after: float = Field(
        DEFAULT_FINISH_PENDING_AFTER,
        gt=0,
        le=600,
        description="Seconds that clients of an answer which cannot be stored wait before they are told to come back.",
    )
    answer_limit: int = Field(1_000_000, ge=1000, description="Most characters of one answer.")
    max_running_turns: int = Field(2000, ge=1, description="Turns that one process runs at once.")
    turn_retention: float = Field(
        7 * 86_400, gt=0, description="Seconds for which chat keeps the content of a turn that history has confirmed."
    )
    event_retention: float = Field(86_400, gt=0, description="Seconds for which a published event is kept.")
    reconcile_interval: float = Field(60, gt=0, description="Seconds between two comparisons with history.")
