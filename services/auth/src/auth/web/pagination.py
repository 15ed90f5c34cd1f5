"""Pagination of lists sorted by id: signed cursors, pages and query parameters."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from auth.web.dependencies import provide
from parley.errors import InvalidCursor
from parley.web.schemas import Page


class _Listed(Protocol):
    @property
    def id(self) -> UUID: ...


T = TypeVar("T", bound=_Listed)
V = TypeVar("V")
ID_BYTES, MAC_BYTES = 16, 16

Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of entries on the page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the previous page.")]
DEFAULT_LIMIT = 20


class CursorCodec:
    """Encodes and decodes the cursors of lists; ``key`` signs them, so that a forged or foreign cursor is refused."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, list_name: str, last: UUID) -> str:
        """Return the cursor that continues a list after the entry ``last``."""
        return base64.urlsafe_b64encode(last.bytes + self._mac(list_name, last.bytes)).rstrip(b"=").decode()

    def decode(self, list_name: str, cursor: str | None) -> UUID | None:
        """Return the id of the last entry already sent; raises InvalidCursor."""
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidCursor from None
        last, mac = raw[:ID_BYTES], raw[ID_BYTES:]
        if len(last) != ID_BYTES or not hmac.compare_digest(mac, self._mac(list_name, last)):
            raise InvalidCursor
        return UUID(bytes=last)

    def page(self, list_name: str, found: Sequence[T], limit: int, *, view: Callable[[T], V]) -> Page[V]:
        """Return a page of ``limit`` entries; ``found`` holds one more if the list continues."""
        shown = found[:limit]
        following = self.encode(list_name, shown[-1].id) if len(found) > limit else None
        return Page(data=[view(element) for element in shown], next_cursor=following)

    def _mac(self, list_name: str, last: bytes) -> bytes:
        return hmac.new(self._key, list_name.encode() + last, hashlib.sha256).digest()[:MAC_BYTES]


Cursors = Annotated[CursorCodec, Depends(provide(CursorCodec))]
