"""Settings of each service in this process, from the operator's settings and the ports and servers of the stack."""

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import auth.settings
import chat.settings
import gateway.settings
import history.settings
import webhooks.settings
from gateway.server.descriptors import fit_descriptors
from parley.config.settings import load
from parley.config.sources import configured_variables
from parley.process.descriptors import descriptor_limit
from parley_cli.local_model.process import CONTEXT_TOKENS, DISPLAY_NAME, MAX_OUTPUT_TOKENS, MODEL_NAME
from parley_cli.settings import LocalSettings
from parley_cli.stack.backends import StackBackends, internal_secrets
from parley_cli.stack.connections import ADMIN_URLS
from parley_cli.stack.encryption_key import encryption_key
from parley_cli.stack.ports import HOST, SERVICES, StackPorts


@dataclass(frozen=True, slots=True)
class StackConfig:
    """Settings, folder and servers of a stack."""

    local: LocalSettings
    folder: Path
    backends: StackBackends

    @property
    def ports(self) -> StackPorts:
        """The ports of the services."""
        return StackPorts.from_settings(self.local)

    def environment(self) -> dict[str, str]:
        """Return the settings with which the other subcommands reach this stack."""
        urls = {f"{name.upper()}_DATABASE_URL": url for name, url in self.backends.database_urls.items()}
        return urls | {
            "REDIS_URL": self.backends.redis_url,
            "PUBLIC_URL": self.local.base_url(),
            ADMIN_URLS: ",".join(f"{name}={self.ports.admin_url(name)}" for name in SERVICES),
            "AUTH_URL": self.ports.url("auth"),
            "CHAT_URL": self.ports.url("chat"),
            "HISTORY_URL": self.ports.url("history"),
            "WEBHOOKS_URL": self.ports.url("webhooks"),
            "AUTH_SECRET_KEY": encryption_key(self.folder),
            "WEBHOOKS_SECRET_KEY": encryption_key(self.folder),
            "INTERNAL_CLIENT_SECRET": internal_secrets(self.folder)["chat"],
        }

    def common_settings(self, service: str) -> dict[str, Any]:
        """Return the settings that every service needs."""
        return {
            "environment": self.local.environment,
            "public_url": self.local.base_url(),
            "host": self.local.host if service == "gateway" else HOST,
            "port": self.ports.of(service),
            "admin_host": self.local.admin_host,
            "admin_port": self.ports.admin(service),
            "redis_url": self.backends.redis_url,
        }

    def data_settings(self, service: str) -> dict[str, Any]:
        """Return the settings of a service with a database."""
        return {
            **self.common_settings(service),
            "database_url": self.backends.database_urls[service],
            "database_pool_size": self.local.database_pool_size,
            "database_pool_min_size": self.local.database_pool_min_size,
            "jwks_url": f"{self.ports.url('auth')}/.well-known/jwks.json",
        }


def auth_settings(config: StackConfig) -> auth.settings.AuthSettings:
    """Return the settings of auth, which trusts the gateway on this machine and the proxies of the operator."""
    return load(
        auth.settings.AuthSettings,
        **config.data_settings("auth"),
        auth_secret_key=encryption_key(config.folder),
        internal_clients=json.dumps(internal_secrets(config.folder)),
        registration=config.local.registration,
        trusted_proxies=_with_own_proxies(config.local.trusted_proxies),
    )


def chat_settings(config: StackConfig) -> chat.settings.ChatSettings:
    """Return the settings of chat, with the local model unless a provider is configured."""
    return load(
        chat.settings.ChatSettings,
        **config.data_settings("chat"),
        auth_url=config.ports.url("auth"),
        history_url=config.ports.url("history"),
        internal_client_secret=internal_secrets(config.folder)["chat"],
        **_files_settings(config),
        **_local_model_settings(config),
    )


def history_settings(config: StackConfig) -> history.settings.HistorySettings:
    """Return the settings of history, which also consumes its events in this process."""
    return load(history.settings.HistorySettings, **config.data_settings("history"))


def webhook_settings(config: StackConfig) -> webhooks.settings.WebhooksSettings:
    """Return the settings of webhooks. On a machine for development, receivers may be on this machine too."""
    own: dict[str, Any] = {"webhooks_secret_key": encryption_key(config.folder)}
    if config.local.environment == "development" and _is_loopback(config.local.host):
        given = configured_variables()
        receivers = {"webhooks_allow_http": True, "webhooks_allowed_networks": "127.0.0.0/8,::1/128"}
        own |= {name: value for name, value in receivers.items() if name.upper() not in given}
    return load(webhooks.settings.WebhooksSettings, **config.data_settings("webhooks"), **own)


def gateway_settings(config: StackConfig) -> gateway.settings.GatewaySettings:
    """Return the settings of the gateway."""
    urls = {f"{name}_url": config.ports.url(name) for name in ("auth", "chat", "history", "webhooks")}
    settings = load(
        gateway.settings.GatewaySettings,
        **config.common_settings("gateway"),
        **urls,
        internal_client_secret=internal_secrets(config.folder)["gateway"],
    )
    return fit_descriptors(settings, descriptor_limit(), sockets_per_upstream=2)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _with_own_proxies(proxies: str) -> str:
    own = auth.settings.AuthSettings.model_fields["trusted_proxies"].default
    return f"{own},{proxies}" if proxies else str(own)


def _files_settings(config: StackConfig) -> dict[str, Any]:
    """Return where files are: in the data folder, unless the operator names another place."""
    if "FILES_URL" in configured_variables():
        return {}
    return {"files_url": (config.folder.resolve() / "files").as_uri()}


def _local_model_settings(config: StackConfig) -> dict[str, Any]:
    model = config.backends.model
    if model is None:
        return {}
    return {
        "openai_base_url": model.base_url,
        "openai_model": MODEL_NAME,
        "model_name": DISPLAY_NAME,
        "model_provider": "local",
        "model_context_window": CONTEXT_TOKENS,
        "model_max_output_tokens": MAX_OUTPUT_TOKENS,
    }
