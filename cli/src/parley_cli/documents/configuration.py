"""docs/configuration.md and .env.example, from the settings classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from history.settings import HistorySettings, WorkerSettings
from parley.config.settings import environment_names
from parley_cli.settings_classes import SETTINGS_CLASSES
from parley_cli.stack.refused_settings import REFUSED, REFUSED_WITH_LOCAL_MODEL

WORKER = "history-worker"
HEAD = """# Configuration

A setting is read from an environment variable, from a line in `.env`, or from a file with its lower-case name in the
folder `SECRETS_DIR` (default `/run/secrets`). The environment wins over `.env`, and `.env` wins over files. Put secrets
into files. A service does not start with an unknown, missing or unsafe setting: it prints one line and exits with
status 2. The column "values" has the range of each number, and the words of each setting that accepts only some.
Others, such as URLs, must have the right form.

`local` in the column "services" is `make run`, which also accepts the settings of the services that it starts. It
refuses the [settings that it sets itself](#settings-that-make-run-refuses). The row of a setting shows the default, the
range and the meaning for each service, where they differ.

| setting | services | default | values | secret | meaning |
|---|---|---|---|---|---|
"""
REFUSED_HEAD = """
## Settings that `make run` refuses

`make run` stops with one line when one of them is set to another value than its own.

| setting | why |
|---|---|
"""
EXAMPLE_HEAD = """# Settings of Parley with their default values. Copy this file to .env and uncomment what you change.
# A setting without a value is optional or has no default: see docs/configuration.md. `make run` requires none.
"""


@dataclass(frozen=True, slots=True)
class SettingEntry:
    """One setting, as the documents show it."""

    name: str
    services: tuple[str, ...]
    defaults: tuple[str | None, ...]
    """The default in each service; None where the setting is required, and "" where there is none."""
    values: tuple[str, ...]
    """In each service, the range of a number or the words that are accepted; empty for other types."""
    secret: bool
    meanings: tuple[str, ...]
    """What each service does with it."""

    @property
    def meaning(self) -> str:
        """What the services do with it, in one text."""
        return _by_service(self.services, self.meanings, between=" ")


def settings() -> list[SettingEntry]:
    """Return every setting once, sorted by name."""
    found: dict[str, SettingEntry] = {}
    for kind in SETTINGS_CLASSES:
        variables = environment_names(kind)
        for field, info in kind.model_fields.items():
            _add(found, variables[field], kind.service, info)
            if kind is HistorySettings:
                _add_other_default(found, variables[field], WORKER, WorkerSettings.model_fields[field])
    return sorted(found.values(), key=lambda setting: setting.name)


def page() -> str:
    """Render docs/configuration.md."""
    refused = {**REFUSED, **REFUSED_WITH_LOCAL_MODEL}
    rows = "".join(f"| `{name}` | {refusal.reason} |\n" for name, refusal in sorted(refused.items()))
    return HEAD + "".join(_row(setting) for setting in settings()) + REFUSED_HEAD + rows


def example() -> str:
    """Render .env.example."""
    return EXAMPLE_HEAD + "".join(_example(setting) for setting in settings())


def _add(found: dict[str, SettingEntry], name: str, service: str, info: FieldInfo) -> None:
    seen = found.get(name)
    services = (*seen.services, service) if seen else (service,)
    defaults = (*seen.defaults, _default(info)) if seen else (_default(info),)
    values = (*seen.values, _values(info)) if seen else (_values(info),)
    meanings = (*seen.meanings, info.description or "") if seen else (info.description or "",)
    found[name] = SettingEntry(name, services, defaults, values, _is_secret(info), meanings)


def _add_other_default(found: dict[str, SettingEntry], name: str, process: str, info: FieldInfo) -> None:
    """Add a second process of a service where its default is another one."""
    if _default(info) != found[name].defaults[-1]:
        _add(found, name, process, info)


def _default(info: FieldInfo) -> str | None:
    if info.is_required():
        return None
    value = info.get_default(call_default_factory=True)
    if value is None or value in ((), [], {}):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _values(info: FieldInfo) -> str:
    kinds = {info.annotation, *get_args(info.annotation)}
    if bool in kinds:
        return "`true`, `false`"
    words = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    if words:
        return ", ".join(f"`{word}`" for word in words)
    least, above, most = (_bound(info, name) for name in ("ge", "gt", "le"))
    if most is None:
        return ""
    return f"above {above}, up to {most}" if least is None else f"{least} to {most}"


def _bound(info: FieldInfo, name: str) -> object:
    return next((getattr(each, name) for each in info.metadata if hasattr(each, name)), None)


def _is_secret(info: FieldInfo) -> bool:
    return "SecretStr" in str(info.annotation)


def _row(setting: SettingEntry) -> str:
    services = ", ".join(setting.services)
    default = _by_service(setting.services, [_show(each) for each in setting.defaults])
    values = _by_service(setting.services, setting.values)
    secret = "yes" if setting.secret else ""
    return f"| `{setting.name}` | {services} | {default} | {values} | {secret} | {setting.meaning} |\n"


def _by_service(services: Sequence[str], texts: Sequence[str], between: str = "; ") -> str:
    """Return the text of all services, or each text with the names of its services."""
    names: dict[str, list[str]] = {}
    for service, text in zip(services, texts, strict=True):
        names.setdefault(text, []).append(service)
    if len(names) == 1:
        return texts[0]
    return between.join(f"{', '.join(of_text)}: {text}" for text, of_text in names.items())


def _show(default: str | None) -> str:
    return "required" if default is None else f"`{default}`" if default else "none"


def _example(setting: SettingEntry) -> str:
    first = setting.defaults[0] or ""
    return f"\n# {setting.meaning} ({', '.join(setting.services)})\n# {setting.name}={first}\n"
