"""Settings from the environment, ``.env`` and secret files; an invalid setting is reported in one line."""

import difflib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as UnreadableSource

from parley.config.urls import PostgresUrl, RedisUrl, WebUrl
from parley.observability.trace_settings import TraceSettings

DEFAULT_SECRETS_DIR = "/run/secrets"
_MIN_SIMILARITY = 0.9
"""Similarity (0 to 1) from which an unknown variable is reported as a misspelt setting."""
REDIS_URL_HELP = (
    "Redis URL: `redis://` or `rediss://` (private CA: `?ssl_ca_certs=file`), or "
    "`redis+sentinel://host:port,host:port/service`. Redis Cluster is not supported."
)
_FOREIGN_PREFIXES = ("GATEWAY_", "AUTH_", "CHAT_", "HISTORY_", "WEBHOOKS_")
_ADDRESSES = frozenset(f"{prefix}URL" for prefix in _FOREIGN_PREFIXES)
"""Addresses of the services: settings of other services, even with this service's prefix."""
_SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT\w*)|PORT(_\w+)?)$")
_OTHER_SIGNALS = ("OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_LOGS_")
_TRACES_ONLY = "OTEL_EXPORTER_OTLP_TRACES_"
"""OpenTelemetry gives these precedence over the settings that Parley reads, so ignoring them would be wrong."""


class SettingsError(Exception):
    """A setting is missing, unknown, invalid or unsafe; one line for each problem, without values."""


class SecretFiles(SecretsSettingsSource):
    """Secret files of which the empty ones count as absent, like empty variables."""

    def __call__(self) -> dict[str, Any]:
        """Return the values of the files by field."""
        return {name: value for name, value in super().__call__().items() if value != ""}


class ServiceSettings(TraceSettings):
    """Settings of every service. A field is set by the environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True, allow_inf_nan=False
    )
    service: ClassVar[str] = "service"
    speaks_websocket: ClassVar[bool] = False
    """Whether the server accepts WebSockets, which needs the package ``websockets``."""
    prefixes_of_tools: ClassVar[tuple[str, ...]] = ()
    """Beginnings of variables that libraries read themselves: such a name is never a misspelt setting."""

    environment: Literal["production", "development"] = Field(
        "production", description="`development` permits settings that are unsafe on a network."
    )
    public_url: WebUrl = Field(
        "http://localhost:8000",
        description="Base URL that clients use; also the issuer of access tokens. With `https://`, responses tell "
        "browsers to use only HTTPS for a year, for this host and its subdomains.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on; use `0.0.0.0` in containers.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    admin_host: str = Field(
        "127.0.0.1", description="Address of the admin port, which serves metrics, probes and status."
    )
    admin_port: int = Field(9000, ge=0, le=65535, description="Admin port. 0 selects a free port.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum log level.")
    log_format: Literal["json", "console"] = Field(
        "json", description="Log format: `json`, or `console` for reading in a terminal."
    )
    log_file: Path | None = Field(
        None,
        description="File to log to instead of standard output. At 20 MB it becomes `<name>.1`, which replaces the one "
        "before.",
    )
    sentry_dsn: SecretStr | None = Field(
        None,
        description="DSN of Sentry, for reports of unexpected errors without texts. Needs the package "
        "`parley-common[sentry]`.",
    )
    git_sha: str = Field("unknown", description="Commit of the build, shown in `/status`.")
    peer_timeout: float = Field(
        10,
        ge=2,
        le=300,
        description="Seconds of silence after which the peer of a connection is lost: databases, services, and "
        "replicas that miss the pings of a stream. Use one value for all services.",
    )
    drain_delay: float = Field(
        0,
        ge=0,
        le=120,
        description="Seconds to keep accepting requests after SIGTERM, until load balancers stop sending them.",
    )
    drain_timeout: float = Field(
        30, ge=0, le=3600, description="Seconds to wait for open requests and streams to finish on shutdown."
    )
    body_limit: int = Field(1_048_576, ge=1024, le=1_099_511_627_776, description="Maximum request body size in bytes.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the first of which wins."""
        folder = getattr(file_secret_settings, "secrets_dir", None)
        return init_settings, env_settings, dotenv_settings, SecretFiles(settings_cls, folder)

    def issuer(self) -> str:
        """Return the issuer of access tokens: the public URL without a trailing slash."""
        return self.public_url.rstrip("/")


class DataSettings(ServiceSettings):
    """Settings of a service with its own database, Redis and RabbitMQ."""

    database_url: PostgresUrl = Field(description="Postgres URL of the service's own database.")
    redis_url: RedisUrl = Field(description=REDIS_URL_HELP)
    amqp_url: SecretStr | None = Field(
        None,
        description="RabbitMQ URL, or the URLs of a cluster's nodes, separated by commas. When unset, events stay "
        "inside the process.",
    )
    database_pool_size: int = Field(10, ge=2, le=200, description="Maximum Postgres connections of one process.")
    database_pool_min_size: int = Field(
        4, ge=1, le=200, description="Postgres connections of one process that stay open, up to the maximum."
    )
    jwks_url: WebUrl = Field(
        "http://localhost:8001/.well-known/jwks.json", description="URL of the keys that verify access tokens."
    )
    queue_type: Literal["classic", "quorum"] = Field(
        "classic", description="RabbitMQ queue type: `quorum` in a cluster, `classic` on a single node."
    )


S = TypeVar("S", bound=ServiceSettings)


def load(kind: type[S], **overrides: Any) -> S:
    """Read the settings of a service.

    Raises SettingsError with one line for each missing, invalid or unknown setting.
    """
    secrets = os.environ.get("SECRETS_DIR", DEFAULT_SECRETS_DIR)
    unknown = unknown_settings(kind, {**_env_file(kind), **os.environ})
    if unknown:
        raise SettingsError("\n".join(unknown))
    try:
        return kind(_secrets_dir=secrets if Path(secrets).is_dir() else None, **overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(kind, e) for e in error.errors(include_input=False))) from None
    except UnreadableSource as error:
        raise SettingsError(_unreadable(kind, str(error))) from None


def _env_file(kind: type[ServiceSettings]) -> dict[str, str]:
    """Return the lines of ``.env``, by upper-case name."""
    return {name.upper(): value or "" for name, value in DotEnvSettingsSource(kind).env_vars.items()}


def load_or_exit(kind: type[S]) -> S:
    """Read the settings, or print the problems and exit with status 2."""
    try:
        return load(kind)
    except SettingsError as error:
        _exit(kind.service, str(error))


def environment_names(kind: type[ServiceSettings]) -> dict[str, str]:
    """Return the environment variable of each field."""
    found = {}
    for field, info in kind.model_fields.items():
        alias = info.validation_alias
        choices = getattr(alias, "choices", None) or ([alias] if isinstance(alias, str) else [field])
        found[field] = str(choices[0]).upper()
    return found


def unknown_settings(kind: type[ServiceSettings], environ: Mapping[str, str]) -> list[str]:
    """Return one line for each environment variable that looks like a misspelt setting of this service."""
    known = {name.upper() for name in _all_names(kind)} | {"SECRETS_DIR"}
    lines = []
    for name in sorted(environ):
        if (
            name in known
            or name in _ADDRESSES
            or _SERVICE_LINK.search(name)
            or not name.isupper()
            or name.startswith((*_OTHER_SIGNALS, *kind.prefixes_of_tools))
        ):
            continue
        own = name.startswith((f"{kind.service.upper()}_", _TRACES_ONLY))
        foreign = name.startswith(_FOREIGN_PREFIXES) and not own
        near = [] if foreign else difflib.get_close_matches(name, known, 1, 0.6 if own else _MIN_SIMILARITY)
        if near or own:
            hint = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"{name}: unknown setting{hint}")
    return lines


def _all_names(kind: type[ServiceSettings]) -> set[str]:
    found: set[str] = set()
    for field, info in kind.model_fields.items():
        alias = info.validation_alias
        found.update(str(c) for c in getattr(alias, "choices", None) or [alias or field])
        found.add(field)
    return found


def _line(kind: type[ServiceSettings], error: Any) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    name = environment_names(kind).get(field, field.upper())
    if error["type"] == "missing":
        return f"{name}: is required but not set"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _unreadable(kind: type[ServiceSettings], message: str) -> str:
    found = re.search(r'"(\w+)"', message)
    name = environment_names(kind).get(found[1], found[1].upper()) if found else "settings"
    return f"{name}: is not valid JSON"


def _exit(service: str, message: str) -> NoReturn:
    for line in message.splitlines():
        sys.stderr.write(f"{service}: {line}\n")
    sys.exit(2)
