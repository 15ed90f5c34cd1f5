"""Cursors of lists: opaque to clients, and told from what we did not make."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from parley.errors import InvalidCursor
from parley.web.schemas import Page

T = TypeVar("T")
V = TypeVar("V")
ID_BYTES, MAC_BYTES = 16, 16


class Cursors:
    """Makes and reads the cursors of lists that are sorted by id."""

    def __init__(self, key: bytes) -> None:
        """Take the key that marks cursors as ours."""
        self._key = key

    def make(self, name: str, last: UUID) -> str:
        """Return the cursor after an element of the list ``name``."""
        return base64.urlsafe_b64encode(last.bytes + self._mac(name, last.bytes)).rstrip(b"=").decode()

    def read(self, name: str, text: str | None) -> UUID | None:
        """Return the id to go on after; raises InvalidCursor."""
        if text is None:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidCursor from None
        last, mac = raw[:ID_BYTES], raw[ID_BYTES:]
        if len(last) != ID_BYTES or not hmac.compare_digest(mac, self._mac(name, last)):
            raise InvalidCursor
        return UUID(bytes=last)

    def page(
        self, name: str, found: Sequence[T], limit: int, *, view: Callable[[T], V], identify: Callable[[T], UUID]
    ) -> Page[V]:
        """Return one page of ``limit`` elements; ``found`` has one more when the list goes on."""
        shown = found[:limit]
        following = self.make(name, identify(shown[-1])) if len(found) > limit else None
        return Page(data=[view(element) for element in shown], next_cursor=following)

    def _mac(self, name: str, last: bytes) -> bytes:
        return hmac.new(self._key, name.encode() + last, hashlib.sha256).digest()[:MAC_BYTES]
