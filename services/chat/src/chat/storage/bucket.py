"""The bucket that FILES_URL names: its settings, checked at the start, and its obstore store."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from chat.bucket_settings import BucketSettings
from parley.config.settings import SettingsError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SETTINGS_OF_SCHEMES = {
    "s3": ("aws_access_key_id", "aws_secret_access_key", "aws_region", "aws_endpoint_url"),
    "gs": ("google_service_account_key", "google_application_credentials"),
    "az": (
        "azure_storage_account_name",
        "azure_storage_account_key",
        "azure_storage_sas_token",
        "azure_storage_endpoint",
    ),
}
SETTINGS_OF_SCHEMES["abfs"] = SETTINGS_OF_SCHEMES["az"]
CONNECT_TIMEOUT, RETRY_TIMEOUT = timedelta(seconds=5), timedelta(seconds=20)
REQUEST_TIMEOUT = timedelta(hours=1)
"""A download takes as long as its client."""
MAX_RETRIES = 2
_SERVICE_ACCOUNT_FIELDS = ("client_email", "private_key", "private_key_id")
_REFUSALS = {
    "Account must be specified": "AZURE_STORAGE_ACCOUNT_NAME: FILES_URL with az:// needs the storage account",
    "Invalid Access Key": "AZURE_STORAGE_ACCOUNT_KEY: is not in base64",
    "pem file": "GOOGLE_SERVICE_ACCOUNT_KEY, GOOGLE_APPLICATION_CREDENTIALS: the private key is damaged",
    "Unable to open service account": "GOOGLE_APPLICATION_CREDENTIALS: the file cannot be read",
    "Unable to decode service account": "GOOGLE_APPLICATION_CREDENTIALS: the file is no JSON with credentials",
}
"""What obstore says about settings that it cannot use, and the line for the operator."""


def open_bucket(url: str, settings: BucketSettings) -> "ObjectStore":
    """Open the bucket; raises SettingsError for settings that are malformed or contradict each other.

    Settings that are not set, and those of other kinds of credentials, are the variables of the provider's own tools.
    """
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    _require_bucket_url(url)
    config: Any = _config(settings, urlsplit(url).scheme)
    client: Any = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": timedelta(seconds=settings.files_timeout),
        "timeout": REQUEST_TIMEOUT,
        "allow_http": True,
    }
    retries: Any = {"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT}
    try:
        return from_url(url, config=config, client_options=client, retry_config=retries)
    except (BaseError, ValueError) as error:
        for text, line in _REFUSALS.items():
            if text in str(error):
                raise SettingsError(line) from None
        raise SettingsError(f"FILES_URL: the bucket cannot be used: {type(error).__name__}") from None


def _require_bucket_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.password is not None or parts.query or parts.fragment or (parts.username and parts.scheme != "abfs"):
        raise SettingsError("FILES_URL: must not contain credentials, a query or a fragment")
    if not parts.hostname:
        raise SettingsError(f"FILES_URL: must name a bucket, such as {parts.scheme}://bucket/prefix")


def _config(settings: BucketSettings, scheme: str) -> dict[str, Any]:
    """Return what obstore is given of the settings; raises SettingsError."""
    given = {name: value for name in SETTINGS_OF_SCHEMES[scheme] if (value := getattr(settings, name)) is not None}
    pair = {"aws_access_key_id", "aws_secret_access_key"}
    if len(half := pair & given.keys()) == 1:
        (missing,) = pair - half
        raise SettingsError(f"{missing.upper()}: not set, although {half.pop().upper()} is")
    _require_one(given, "azure_storage_account_key", "azure_storage_sas_token")
    _require_one(given, "google_service_account_key", "google_application_credentials")
    for name in ("aws_endpoint_url", "azure_storage_endpoint"):
        if name in given and urlsplit(str(given[name])).scheme not in {"http", "https"}:
            raise SettingsError(f"{name.upper()}: must begin with http:// or https://")
    if "google_service_account_key" in given:
        _require_service_account(given["google_service_account_key"].get_secret_value())
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value) for name, value in given.items()
    }


def _require_one(given: dict[str, Any], first: str, second: str) -> None:
    if first in given and second in given:
        raise SettingsError(f"{first.upper()}: cannot be set together with {second.upper()}. Unset one of them")


def _require_service_account(text: str) -> None:
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict) or any(name not in key for name in _SERVICE_ACCOUNT_FIELDS):
        raise SettingsError(
            "GOOGLE_SERVICE_ACCOUNT_KEY: must be the JSON key of a service account, the text and not the path of a file"
        )
