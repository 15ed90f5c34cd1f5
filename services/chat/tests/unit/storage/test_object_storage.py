"""Files in a folder, by the contract of stores. Buckets have the same in tests/storage."""

from pathlib import Path

import pytest

from chat.storage.object_storage import ObjectStorage
from chat_testing.object_contract import ObjectContract


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStorage:
    return ObjectStorage(tmp_path.as_uri())


class TestFolder(ObjectContract):
    """A local folder."""
