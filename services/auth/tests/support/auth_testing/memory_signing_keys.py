"""In-memory store of signing keys."""

from collections.abc import Sequence

from auth.signing_keys.model import StoredSigningKey


class MemorySigningKeyStore:
    """Signing keys in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredSigningKey] = {}
        self.retired: list[str] = []

    async def all(self) -> Sequence[StoredSigningKey]:
        return [row for kid, row in self.rows.items() if kid not in self.retired]

    async def add_if_newest_is(self, newest: str | None, key: StoredSigningKey) -> bool:
        if (list(self.rows)[-1] if self.rows else None) != newest:
            return False
        self.rows[key.kid] = key
        return True

    async def retire(self, kid: str) -> None:
        self.retired.append(kid)
