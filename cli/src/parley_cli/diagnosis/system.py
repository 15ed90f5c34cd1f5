"""The system to check, from the settings of the services that are installed here."""

import importlib
import importlib.util
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parley.config.settings import SettingsError, load
from parley_cli.diagnosis.findings import Finding, fault

SERVICES = ("gateway", "auth", "chat", "history", "webhooks")
SETTINGS = {name: f"{name.capitalize()}Settings" for name in SERVICES}
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
UPSTREAMS = {"auth": "auth_url", "chat": "chat_url", "history": "history_url", "webhooks": "webhooks_url"}
NOT_SET = "is required but not set"


@dataclass
class System:
    """Addresses of everything to check, and the problems of the settings themselves."""

    databases: dict[str, str] = field(default_factory=dict)
    """DSN by service."""
    redis: set[str] = field(default_factory=set)
    rabbitmq: set[str] = field(default_factory=set)
    services: dict[str, set[str]] = field(default_factory=dict)
    """Base URLs by service."""
    admin: dict[str, str] = field(default_factory=dict)
    """URL of an admin port by its name."""
    public_urls: set[str] = field(default_factory=set)
    """`PUBLIC_URL`, whose certificate users see."""
    chat_settings: Any = None
    """The settings of chat, if a provider is configured here."""
    folders: dict[str, Path] = field(default_factory=lambda: {"temporary files": Path(tempfile.gettempdir())})
    problems: list[Finding] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to check but this machine."""
        return not (self.databases or self.redis or self.services or self.admin or self.problems)


def read_system(admin_urls: dict[str, str] | None = None) -> System:
    """Return the system of the settings in the environment, `.env` and secret files.

    ``admin_urls`` replaces the admin ports of the settings, which are those of one process.
    """
    system = System()
    for service in SERVICES:
        if importlib.util.find_spec(service) is not None:
            _add_service(system, service)
    if admin_urls is not None:
        system.admin = dict(admin_urls)
    return system


def _add_service(system: System, service: str) -> None:
    kind = getattr(importlib.import_module(f"{service}.settings"), SETTINGS[service])
    try:
        settings = load(kind)
    except SettingsError as error:
        lines = str(error).splitlines()
        if not any(line.endswith(NOT_SET) and "_URL" in line for line in lines):  # else it does not run here
            system.problems += [fault(service, "settings", "settings_invalid", line) for line in lines]
        return
    system.redis.add(settings.redis_url.get_secret_value())
    if service != "gateway":
        system.databases[service] = settings.database_url.get_secret_value()
        if settings.amqp_url is not None:
            system.rabbitmq.add(settings.amqp_url.get_secret_value())
    _add_addresses(system, service, settings)
    if service == "chat" and (settings.openai_api_key or settings.openai_base_url or settings.models_file):
        system.chat_settings = settings


def _add_addresses(system: System, service: str, settings: Any) -> None:
    """Add the addresses that the operator has set; the defaults are guesses."""
    for name, setting in UPSTREAMS.items():
        if setting in settings.model_fields_set:
            urls = {each.strip().rstrip("/") for each in getattr(settings, setting).split(",") if each.strip()}
            system.services.setdefault(name, set()).update(urls)
    if settings.public_url.startswith("https:"):
        system.public_urls.add(settings.public_url)
    if "admin_port" in settings.model_fields_set:
        host = LOOPBACK.get(settings.admin_host, settings.admin_host)
        url = f"http://[{host}]:{settings.admin_port}" if ":" in host else f"http://{host}:{settings.admin_port}"
        if url not in system.admin.values():  # several services that are installed here read the same setting
            system.admin[service] = url
