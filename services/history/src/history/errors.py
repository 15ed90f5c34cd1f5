"""What can go wrong in history."""

from parley.errors import NotFound, ParleyError


class ConversationNotFound(NotFound):
    """There is no such conversation."""

    code, title = "conversation_not_found", "Conversation not found"
    remedy = "Check the id; a deleted conversation stays gone."


class MessageNotFound(NotFound):
    """There is no such message in this conversation."""

    code, title = "message_not_found", "Message not found"
    remedy = "Read the conversation's messages again and use one of their ids."


class IdempotencyKeyReused(ParleyError):
    """This idempotency key was used for another request."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency key reused"
    remedy = "Use a new key for each new request, and the same one only to repeat it unchanged."


class CursorExpired(ParleyError):
    """The feed no longer reaches back to this cursor."""

    status, code, title = 410, "cursor_expired", "Cursor expired"
    remedy = "Read the conversations again, then follow the feed without a cursor."
