"""Emulators of S3, Google Cloud Storage and Azure for `make storage-test`."""
