"""Download names of exported conversations."""

import re
import unicodedata
from urllib.parse import quote

from history.conversations.schemas import Conversation


def content_disposition(conversation: Conversation, suffix: str) -> str:
    """Return a Content-Disposition header that names the file after the conversation (RFC 6266)."""
    title = " ".join((conversation.title or "conversation").split())
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    ascii_name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.") or "conversation"
    full_name = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]+', "-", title).strip("-. ") or "conversation"
    return f"attachment; filename=\"{ascii_name}.{suffix}\"; filename*=UTF-8''{quote(full_name, safe='')}.{suffix}"
