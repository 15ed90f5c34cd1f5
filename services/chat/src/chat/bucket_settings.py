"""Settings of the bucket with the files of users. They have the names that the tools of the providers use."""

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr


class BucketSettings(BaseModel):
    """Credentials and addresses of a bucket. Which of them count is decided by the scheme of `FILES_URL`."""

    files_timeout: float = Field(
        30, gt=0, le=300, description="Seconds to wait for the first byte of a bucket's answer."
    )
    aws_access_key_id: SecretStr | None = Field(
        None, description="Access key of the S3 bucket. Without one, the identity of the machine or pod is used."
    )
    aws_secret_access_key: SecretStr | None = Field(None, description="Secret of `AWS_ACCESS_KEY_ID`.")
    aws_region: str | None = Field(None, description="Region of the S3 bucket; `us-east-1` if it is not set.")
    aws_endpoint_url: str | None = Field(None, description="URL of an S3 server other than Amazon's.")
    google_service_account_key: SecretStr | None = Field(
        None,
        description="JSON key of the service account that uses the bucket of Google Cloud Storage. Without one, the "
        "identity of the machine or pod is used.",
    )
    google_application_credentials: Path | None = Field(
        None, description="File with the credentials for Google Cloud Storage, instead of `GOOGLE_SERVICE_ACCOUNT_KEY`."
    )
    azure_storage_account_name: str | None = Field(None, description="Storage account of the Azure container.")
    azure_storage_account_key: SecretStr | None = Field(
        None, description="Key of the storage account. Without one, the identity of the machine or pod is used."
    )
    azure_storage_sas_token: SecretStr | None = Field(
        None, description="Shared access signature for the container, instead of `AZURE_STORAGE_ACCOUNT_KEY`."
    )
    azure_storage_endpoint: str | None = Field(None, description="URL of a blob server other than Azure's own.")
