"""Settings of buckets: wrong ones are refused at the start, in one line that names the setting and no value."""

import json
from pathlib import Path
from typing import Any

import pytest

from chat.bucket_settings import BucketSettings
from chat.settings import ChatSettings
from chat.storage.object_storage import ObjectStorage
from chat_testing.buckets import PROVIDERS, SECRET, bucket_settings
from parley.config.settings import SettingsError, load, unknown_settings

URLS = {"s3": "s3://bucket", "gs": "gs://bucket", "az": "az://container"}
KEY = json.dumps({"client_email": "a@b", "private_key": SECRET, "private_key_id": "1"})


@pytest.fixture(autouse=True)
def without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what the machine sets for other programs."""
    for field in BucketSettings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "settings", "named"),
    [
        ("s3://bucket", {"aws_access_key_id": "key"}, "AWS_SECRET_ACCESS_KEY: not set"),
        ("s3://bucket", {"aws_secret_access_key": SECRET}, "AWS_ACCESS_KEY_ID: not set"),
        ("s3://bucket", {"aws_endpoint_url": "minio:9000"}, "AWS_ENDPOINT_URL: must begin with http"),
        ("gs://bucket", {"google_service_account_key": SECRET}, "GOOGLE_SERVICE_ACCOUNT_KEY: must be the JSON key"),
        ("gs://bucket", {"google_service_account_key": "{}"}, "GOOGLE_SERVICE_ACCOUNT_KEY: must be the JSON key"),
        (
            "gs://bucket",
            {"google_service_account_key": KEY, "google_application_credentials": "/key.json"},
            "GOOGLE_SERVICE_ACCOUNT_KEY: cannot be set together with GOOGLE_APPLICATION_CREDENTIALS",
        ),
        ("gs://bucket", {"google_application_credentials": "/no.json"}, "GOOGLE_APPLICATION_CREDENTIALS: the file"),
        ("az://container", {}, "AZURE_STORAGE_ACCOUNT_NAME: "),
        ("az://container", {"azure_storage_account_key": "a2V5"}, "AZURE_STORAGE_ACCOUNT_NAME: "),
        (
            "az://container",
            {"azure_storage_account_name": "name", "azure_storage_account_key": f"{SECRET}!"},
            "AZURE_STORAGE_ACCOUNT_KEY: is not in base64",
        ),
        (
            "az://container",
            {
                "azure_storage_account_name": "name",
                "azure_storage_account_key": "a2V5",
                "azure_storage_sas_token": f"sv=1&sig={SECRET}",
            },
            "AZURE_STORAGE_ACCOUNT_KEY: cannot be set together with AZURE_STORAGE_SAS_TOKEN",
        ),
        ("az://container", {"azure_storage_endpoint": "azurite:10000"}, "AZURE_STORAGE_ENDPOINT: must begin with http"),
        (f"s3://key:{SECRET}@bucket", {}, "FILES_URL: must not contain credentials"),
        (f"az://container?sig={SECRET}", {}, "FILES_URL: must not contain credentials"),
        ("gs://", {}, "FILES_URL: must name a bucket"),
        ("s3:///prefix", {}, "FILES_URL: must name a bucket"),
        ("gcs://bucket", {}, "FILES_URL: must begin with one of"),
        (f"https://{SECRET}.blob.core.windows.net/container", {}, "FILES_URL: must begin with one of"),
    ],
)
def test_wrong_settings_are_refused_by_name_and_without_their_value(
    url: str, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        ObjectStorage(url, BucketSettings(**settings))
    line = str(refused.value)
    assert line.startswith(named)
    assert SECRET not in line
    assert "\n" not in line


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_settings_of_other_providers_do_not_count(provider: str) -> None:
    own = bucket_settings(provider, "http://127.0.0.1:1").model_dump(exclude_none=True)
    others = {"aws_access_key_id": "half", "google_service_account_key": "{", "azure_storage_endpoint": "no-url"}
    ObjectStorage(URLS[provider], BucketSettings(**others | own))


def test_azure_takes_a_shared_access_signature() -> None:
    settings = BucketSettings(azure_storage_account_name="name", azure_storage_sas_token=f"?sv=1&sig={SECRET}%3D")
    assert SECRET not in repr(settings)
    ObjectStorage("az://container/prefix", settings)


def test_a_container_is_also_named_as_the_tools_of_azure_do() -> None:
    ObjectStorage("abfs://container@name.dfs.core.windows.net/prefix", BucketSettings())


def test_google_takes_the_file_of_its_tools(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    settings = BucketSettings(google_application_credentials=path)
    login = {"type": "authorized_user", "client_id": "a", "client_secret": SECRET, "refresh_token": "b"}
    path.write_text(json.dumps(login))
    ObjectStorage("gs://bucket", settings)
    for text, line in {
        SECRET: "is no JSON",
        json.dumps({"type": "service_account", **json.loads(KEY)}): "damaged",
    }.items():
        path.write_text(text)
        with pytest.raises(SettingsError, match=line) as refused:
            ObjectStorage("gs://bucket", settings)
        assert SECRET not in str(refused.value)


def test_google_refuses_a_key_that_is_damaged() -> None:
    with pytest.raises(SettingsError, match="the private key is damaged"):
        ObjectStorage("gs://bucket", BucketSettings(google_service_account_key=KEY))


def test_the_other_variables_of_the_providers_tools_are_no_misspelt_settings() -> None:
    tools = ("AWS_ENDPOINT_URL_S3", "AZURE_STORAGE_TOKEN", "AZURE_STORAGE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT")
    assert unknown_settings(ChatSettings, dict.fromkeys(tools, "x")) == []


def test_secrets_of_buckets_are_read_from_secret_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aws_secret_access_key").write_text(f"{SECRET}\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    settings = load(ChatSettings, database_url="postgresql://x", redis_url="redis://x", files_url="s3://bucket")
    assert settings.aws_secret_access_key is not None
    assert settings.aws_secret_access_key.get_secret_value() == SECRET
    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID: not set"):
        ObjectStorage(settings.files_url or "", settings)
