"""Errors of the history API."""

from parley.errors import NotFound, ParleyError


class ConversationNotFound(NotFound):
    """The conversation does not exist."""

    code, title = "conversation_not_found", "Conversation not found"
    remedy = "Check the conversation id. A deleted conversation cannot be restored."


class MessageNotFound(NotFound):
    """The message does not exist in this conversation."""

    code, title = "message_not_found", "Message not found"
    remedy = "List the messages of the conversation and send one of their ids."


class CursorExpired(ParleyError):
    """The cursor is older than the oldest event that the feed keeps."""

    status, code, title = 410, "cursor_expired", "Cursor expired"
    remedy = "Read the conversations again, then follow the feed without a cursor."
