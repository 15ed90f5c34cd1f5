"""Settings of buckets on servers of tests, one for each provider."""

import base64
import json
from typing import Any

from chat.bucket_settings import BucketSettings

SECRET = "topsecretcanary"
PROVIDERS = ("s3", "gs", "az")
ACCOUNT = "devstoreaccount1"


def bucket_settings(provider: str, url: str, **changed: Any) -> BucketSettings:
    """Return settings with the credentials that a provider's client needs, for a server at ``url``."""
    service_account = {
        "client_email": "parley@test",
        "private_key": SECRET,
        "private_key_id": "1",
        "gcs_base_url": url,
        "disable_oauth": True,
    }
    found: dict[str, dict[str, Any]] = {
        "s3": {
            "aws_access_key_id": "key",
            "aws_secret_access_key": SECRET,
            "aws_region": "us-east-1",
            "aws_endpoint_url": url,
        },
        "gs": {"google_service_account_key": json.dumps(service_account)},
        "az": {
            "azure_storage_account_name": ACCOUNT,
            "azure_storage_account_key": base64.b64encode(SECRET.encode()).decode(),
            "azure_storage_endpoint": f"{url}/{ACCOUNT}",
        },
    }
    return BucketSettings(**found[provider] | changed)
