"""docs/configuration.md and .env.example, from the settings classes."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import SecretStr
from pydantic.fields import FieldInfo

import auth.settings
import chat.settings
import gateway.settings
import history.settings
from parley.config.settings import ServiceSettings, environment_names
from parley_cli.settings import LocalSettings

SETTINGS_CLASSES: tuple[type[ServiceSettings], ...] = (
    gateway.settings.GatewaySettings,
    auth.settings.AuthSettings,
    chat.settings.ChatSettings,
    history.settings.HistorySettings,
    LocalSettings,
)
HEAD = """# Configuration

A setting is read from an environment variable, from a line in `.env`, or from a file with its lower-case name in the
folder `SECRETS_DIR` (default `/run/secrets`). The environment wins over `.env`, and `.env` wins over files. Put secrets
into files. A service does not start with an unknown, missing or unsafe setting: it prints one line and exits with
status 2.

The service `local` is `make run`, which chooses ports, databases and secrets itself.

| setting | services | default | secret | meaning |
|---|---|---|---|---|
"""
EXAMPLE_HEAD = """# Settings of Parley with their default values. Copy this file to .env and uncomment what you change.
# A setting without a value is optional or has no default: see docs/configuration.md. `make run` requires none.
"""


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """One setting, as the documents show it."""

    name: str
    services: tuple[str, ...]
    default: str | None
    secret: bool
    description: str


def settings() -> list[SettingEntry]:
    """Return every setting once, sorted by name."""
    found: dict[str, SettingEntry] = {}
    for kind in SETTINGS_CLASSES:
        variables = environment_names(kind)
        for field, info in kind.model_fields.items():
            _add(found, variables[field], kind.service, info)
    return sorted(found.values(), key=lambda setting: setting.name)


def page() -> str:
    """Render docs/configuration.md."""
    return HEAD + "".join(_row(setting) for setting in settings())


def example() -> str:
    """Render .env.example."""
    return EXAMPLE_HEAD + "".join(_example(setting) for setting in settings())


def _add(found: dict[str, SettingEntry], name: str, service: str, info: FieldInfo) -> None:
    seen = found.get(name)
    services = (*seen.services, service) if seen else (service,)
    defaults = {seen.default, _default(info)} if seen else {_default(info)}
    default = (
        _default(info) if len(defaults) == 1 else " / ".join(_unique(seen.default if seen else "", _default(info)))
    )
    description = (seen.description if seen else None) or info.description or ""
    found[name] = SettingEntry(name, services, default, _is_secret(info), description)


def _unique(*texts: str | None) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        for part in (text or "").split(" / "):
            if part and part not in seen:
                seen.add(part)
                yield part


def _default(info: FieldInfo) -> str | None:
    if info.is_required():
        return None
    value = info.get_default(call_default_factory=True)
    if value is None or value in ((), [], {}):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _is_secret(info: FieldInfo) -> bool:
    return "SecretStr" in str(info.annotation)


def _row(setting: SettingEntry) -> str:
    default = "required" if setting.default is None else f"`{setting.default}`" if setting.default else "none"
    secret = "yes" if setting.secret else ""
    return f"| `{setting.name}` | {', '.join(setting.services)} | {default} | {secret} | {setting.description} |\n"


def _example(setting: SettingEntry) -> str:
    first = (setting.default or "").split(" / ")[0]
    return f"\n# {setting.description} ({', '.join(setting.services)})\n# {setting.name}={first}\n"
