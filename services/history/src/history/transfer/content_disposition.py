"""Download names of exported conversations."""

from history.conversations.schemas import Conversation
from parley.web.attachment import attachment


def content_disposition(conversation: Conversation, suffix: str) -> str:
    """Return a Content-Disposition header that names the file after the conversation."""
    return attachment(conversation.title or "conversation", suffix, fallback="conversation")
