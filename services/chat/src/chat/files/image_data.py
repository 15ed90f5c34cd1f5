"""Images whose data is part of a request (``data:image/png;base64,…``)."""

import base64
import binascii
import re

from chat.files.image_size import MAX_HEADER, image_size, require_decodable
from chat.files.media_types import type_of
from chat.files.model import IMAGE_TYPES
from parley.errors import InvalidRequest
from parley.field_errors import FieldError

_HEADER = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)
_PAYLOAD = re.compile(r"[A-Za-z0-9+/]*={0,2}\Z")
_HEAD_CHARACTERS = MAX_HEADER * 4 // 3 + 4
"""Characters that are decoded: the header of the image is in them."""


def require_image_data(url: str, pointer: str) -> None:
    """Raise InvalidRequest unless the data is an image that can be decoded. Only its header is read."""
    header = _HEADER.match(url)
    payload = url[header.end() :] if header is not None else ""
    try:
        head = base64.b64decode(payload[: _HEAD_CHARACTERS // 4 * 4], validate=True)
    except binascii.Error:
        head = b""
    media_type = type_of(head)
    if media_type not in IMAGE_TYPES or not _PAYLOAD.match(payload):
        detail = "Must be a PNG, JPEG, GIF or WebP image in base64: `data:image/png;base64,…`."
        raise InvalidRequest(errors=[FieldError(pointer, "invalid_image", detail)])
    require_decodable(image_size(media_type, head), pointer)
