"""Settings of `parley backup` and `parley restore` in a container."""

from typing import ClassVar

from pydantic import Field, SecretStr

from parley.config.settings import ServiceSettings, SettingsError
from parley.config.urls import PostgresUrl
from parley_cli.backup.services import SERVICES


class BackupSettings(ServiceSettings):
    """Databases of the services, and the keys that encrypt secrets in them."""

    service: ClassVar[str] = "backup"

    auth_database_url: PostgresUrl | None = Field(None, description="PostgreSQL DSN of the database of auth.")
    chat_database_url: PostgresUrl | None = Field(None, description="PostgreSQL DSN of the database of chat.")
    history_database_url: PostgresUrl | None = Field(None, description="PostgreSQL DSN of the database of history.")
    webhooks_database_url: PostgresUrl | None = Field(None, description="PostgreSQL DSN of the database of webhooks.")
    auth_secret_key: SecretStr | None = Field(
        None, description="Key that encrypts the signing keys; required with the database of auth."
    )
    webhooks_secret_key: SecretStr | None = Field(
        None, description="Key that encrypts the secrets of webhooks; required with the database of webhooks."
    )

    def dsns(self, services: list[str]) -> dict[str, str]:
        """Return the DSN of each service; raise SettingsError with a line for each that is missing."""
        found = {service: self._url(service) for service in services}
        missing = [service for service, url in found.items() if url is None]
        if missing:
            raise SettingsError(
                "\n".join(
                    f"{url_variable(service)}: is required but not set. To leave this database out, name the others "
                    "with --service."
                    for service in missing
                )
            )
        return {service: url for service, url in found.items() if url is not None}

    def _url(self, service: str) -> str | None:
        value: SecretStr | None = getattr(self, url_variable(service).lower())
        return None if value is None else value.get_secret_value()

    def secret_keys(self) -> dict[str, str]:
        """Return the keys that are set, by service."""
        found = {"auth": self.auth_secret_key, "webhooks": self.webhooks_secret_key}
        return {service: value.get_secret_value() for service, value in found.items() if value is not None}


def url_variable(service: str) -> str:
    """Return the name of the variable with the DSN of a service."""
    return f"{service.upper()}_DATABASE_URL"


URL_VARIABLES = frozenset(url_variable(service) for service in SERVICES)
