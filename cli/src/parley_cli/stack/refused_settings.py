"""Settings of the services that `parley run` decides itself, and therefore refuses instead of ignoring them.

Other subcommands accept them: in a container they are the settings of a service.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from parley.config.settings import SettingsError, unknown_settings
from parley_cli.settings import MAX_FIRST_PORT, LocalSettings


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a setting is refused, and the values that change nothing."""

    reason: str
    accepted: frozenset[str] = frozenset()


_ENVIRONMENT = "`make run` is a development environment."
_EVENTS = "`make run` carries events inside its process. To use RabbitMQ, run the services as processes."
_ADDRESSES = "`make run` starts the services itself. Choose their ports with `PORT` and `ADMIN_PORT`."
_DATABASES = "`make run` creates a database for each service. Set `DATABASE_URL` to use another Postgres server."
_SECRETS = "`make run` keeps its own secrets in the data folder."
_PROVIDER = "The local model has its own. Set `OPENAI_BASE_URL` or `OPENAI_API_KEY`, too, to use a provider."
REFUSED: Mapping[str, Refusal] = {
    "AMQP_URL": Refusal(_EVENTS),
    "ENVIRONMENT": Refusal(_ENVIRONMENT, frozenset({"development"})),
    "QUEUE_TYPE": Refusal(_EVENTS, frozenset({"classic"})),
    "RUN_CONSUMER": Refusal("`make run` has no separate worker.", frozenset({"true", "1", "yes", "on", "t", "y"})),
    "WORKERS": Refusal("`make run` is one process.", frozenset({"1"})),
    **dict.fromkeys(("AUTH_URL", "CHAT_URL", "HISTORY_URL", "WEBHOOKS_URL", "JWKS_URL"), Refusal(_ADDRESSES)),
    **dict.fromkeys(
        ("AUTH_DATABASE_URL", "CHAT_DATABASE_URL", "HISTORY_DATABASE_URL", "WEBHOOKS_DATABASE_URL"), Refusal(_DATABASES)
    ),
    **dict.fromkeys(
        ("AUTH_SECRET_KEY", "INTERNAL_CLIENTS", "INTERNAL_CLIENT_SECRET", "WEBHOOKS_SECRET_KEY"), Refusal(_SECRETS)
    ),
}
"""Refused in every case."""
REFUSED_WITH_LOCAL_MODEL: Mapping[str, Refusal] = dict.fromkeys(
    ("OPENAI_MODEL", "MODEL_NAME", "MODEL_PROVIDER", "MODEL_CONTEXT_WINDOW", "MODEL_MAX_OUTPUT_TOKENS"),
    Refusal(_PROVIDER),
)
"""Refused unless a provider is configured."""


def require_obeyed(settings: LocalSettings, variables: Mapping[str, str]) -> None:
    """Raise SettingsError with one line for each variable that `parley run` would ignore."""
    lines = list(_problems(settings, variables))
    if lines:
        raise SettingsError("\n".join(lines))


def require_known(variables: Mapping[str, str]) -> None:
    """Raise SettingsError with one line for each variable that a service would refuse as a misspelt setting."""
    from parley_cli.settings_classes import SETTINGS_CLASSES

    lines = dict.fromkeys(line for kind in SETTINGS_CLASSES for line in unknown_settings(kind, variables))
    if lines:
        raise SettingsError("\n".join(lines))


def _problems(settings: LocalSettings, variables: Mapping[str, str]) -> Iterator[str]:
    refused = REFUSED if settings.has_provider() else {**REFUSED, **REFUSED_WITH_LOCAL_MODEL}
    for name, refusal in refused.items():
        if name in variables and variables[name].strip().lower() not in refusal.accepted:
            yield f"{name}: {refusal.reason.replace('`', '')}"
    for name, port in (("PORT", settings.port), ("ADMIN_PORT", settings.admin_port)):
        if not 1 <= port <= MAX_FIRST_PORT:
            yield f"{name}: must be from 1 to {MAX_FIRST_PORT}, because the other services use the next four ports"
