"""Settings: environment, ``.env`` and secret files; no default secrets; a wrong one is one clear line and exit 2."""

import difflib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSource

from parley.observability.trace_settings import TraceSettings

DEFAULT_SECRETS_DIR = "/run/secrets"
_NEAR = 0.9
"""How alike (0 to 1) an unknown variable must be to a setting before it is taken for a typing error."""
_FOREIGN_PREFIXES = ("GATEWAY_", "AUTH_", "CHAT_", "HISTORY_")
_SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT\w*)|PORT(_\w+)?)$")
_OTHER_SIGNALS = ("OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_LOGS_")
_TRACES_ONLY = "OTEL_EXPORTER_OTLP_TRACES_"
"""Stand above the settings we read where OpenTelemetry does it: ignored, they would send spans to the wrong place."""


class SettingsError(Exception):
    """A setting is missing, unknown or unsafe; one line a problem, never a value."""


class ServiceSettings(TraceSettings):
    """What every service can be told. Each field is the environment variable of the same name in upper case."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True)
    service: ClassVar[str] = "service"
    speaks_websocket: ClassVar[bool] = False
    """Whether the service's server needs the package `websockets`."""

    environment: Literal["production", "development"] = Field(
        "production", description="`development` allows settings that are unsafe on a network."
    )
    public_url: str = Field(
        "http://localhost:8000", description="The base URL clients use; also the issuer of access tokens."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; containers need `0.0.0.0`.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    admin_host: str = Field("127.0.0.1", description="Address of the admin port (metrics, probes, status).")
    admin_port: int = Field(9000, ge=0, le=65535, description="The admin port; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="`console` is for people.")
    git_sha: str = Field("unknown", description="The commit this was built from, shown in `/status`.")
    drain_delay: float = Field(
        0, ge=0, le=120, description="Seconds to go on accepting after SIGTERM, while load balancers notice."
    )
    drain_timeout: float = Field(30, ge=0, le=3600, description="Seconds that open requests and streams get to end.")
    body_limit: int = Field(1_048_576, ge=1024, description="Largest request body in bytes.")

    def issuer(self) -> str:
        """Return the issuer of access tokens: the public URL without a slash at its end."""
        return self.public_url.rstrip("/")


class DataSettings(ServiceSettings):
    """A service with its own database, and the two shared parts."""

    database_url: SecretStr = Field(description="Postgres DSN of this service's own database.")
    redis_url: SecretStr = Field(description="Redis URL.")
    amqp_url: SecretStr | None = Field(None, description="RabbitMQ URL; without it events stay inside the process.")
    database_pool_size: int = Field(10, ge=2, le=200, description="Most Postgres connections of one process.")
    jwks_url: str = Field(
        "http://localhost:8001/.well-known/jwks.json", description="Where the keys that verify access tokens are."
    )
    queue_type: Literal["classic", "quorum"] = Field(
        "classic", description="`quorum` in a RabbitMQ cluster, `classic` on a single node."
    )


S = TypeVar("S", bound=ServiceSettings)


def load(kind: type[S], **overrides: Any) -> S:
    """Read the settings of a service.

    Raises SettingsError with one line for each setting that is missing, invalid or unknown.
    """
    secrets = os.environ.get("SECRETS_DIR", DEFAULT_SECRETS_DIR)
    unknown = unknown_settings(kind, os.environ)
    if unknown:
        raise SettingsError("\n".join(unknown))
    try:
        return kind(_secrets_dir=secrets if Path(secrets).is_dir() else None, **overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(kind, e) for e in error.errors(include_input=False))) from None
    except UnreadableSource as error:
        raise SettingsError(_unreadable(kind, str(error))) from None


def load_or_exit(kind: type[S]) -> S:
    """Read the settings, or print what is wrong and end the process with status 2."""
    try:
        return load(kind)
    except SettingsError as error:
        _exit(kind.service, str(error))


def environment_names(kind: type[ServiceSettings]) -> dict[str, str]:
    """Return the environment variable of each field, by field name."""
    found = {}
    for field, info in kind.model_fields.items():
        alias = info.validation_alias
        choices = getattr(alias, "choices", None) or ([alias] if isinstance(alias, str) else [field])
        found[field] = str(choices[0]).upper()
    return found


def unknown_settings(kind: type[ServiceSettings], environ: Mapping[str, str]) -> list[str]:
    """Return a line for each variable that looks like a misspelt setting of this service."""
    known = {name.upper() for name in _all_names(kind)} | {"SECRETS_DIR"}
    lines = []
    for name in sorted(environ):
        if name in known or _SERVICE_LINK.search(name) or not name.isupper() or name.startswith(_OTHER_SIGNALS):
            continue
        own = name.startswith((f"{kind.service.upper()}_", _TRACES_ONLY))
        foreign = name.startswith(_FOREIGN_PREFIXES) and not own
        near = [] if foreign else difflib.get_close_matches(name, known, 1, 0.6 if own else _NEAR)
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
        return f"{name}: is required and not set"
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
