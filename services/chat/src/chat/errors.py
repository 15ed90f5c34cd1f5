"""What can go wrong with a turn. The codes of providers' failures are also what a failed turn's ``error`` says."""

from typing import Any
from uuid import UUID

from parley.errors import DependencyUnavailable, InvalidRequest, NotFound, ParleyError


class ContextLengthExceeded(InvalidRequest):
    """The message is longer than the model's context window."""

    code, title = "context_length_exceeded", "Message too long"
    remedy = "Send a shorter message or system prompt, or use a model with a larger context window."


class UnsupportedContent(InvalidRequest):
    """This model takes text only."""

    code, title = "unsupported_content", "Unsupported content"
    remedy = "Send text, or use a model with the capability `vision`."


class ConversationNotFound(NotFound):
    """There is no such conversation."""

    code, title = "conversation_not_found", "Conversation not found"


class MessageNotFound(NotFound):
    """There is no such message in this conversation."""

    code, title = "message_not_found", "Message not found"


class TurnNotFound(NotFound):
    """There is no such turn."""

    code, title = "turn_not_found", "Turn not found"


class ModelNotFound(NotFound):
    """There is no such model."""

    code, title = "model_not_found", "Model not found"
    remedy = "Use an id that `GET /api/v1/models` lists, or none for the default."


class TurnInProgress(ParleyError):
    """A turn of this conversation is still running."""

    status, code, title = 409, "turn_in_progress", "Turn in progress"
    remedy = "Wait for the turn named by `turn_id`, follow its stream, or cancel it."

    def __init__(self, turn_id: UUID | None) -> None:
        """Name the turn that runs; the same request fails until it has ended."""
        members: dict[str, Any] = {"turn_id": str(turn_id)} if turn_id else {}
        super().__init__(None, headers={"x-should-retry": "false"}, **members)


class Erased(ParleyError):
    """This account has been erased."""

    status, code, title = 410, "erased", "Erased"
    remedy = "Nothing can be done with an erased account."


class TooManyStreams(ParleyError):
    """Too many turns are followed at once."""

    status, code, title = 429, "too_many_streams", "Too many streams"
    remedy = "Wait for one of the turns to end, or cancel one."

    def __init__(self) -> None:
        """Tell clients when to try again."""
        super().__init__(None, headers={"Retry-After": "1"})


class IdempotencyKeyReused(ParleyError):
    """This Idempotency-Key was used with another body."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency key reused"
    remedy = "Use a new key for a new request."


class QuotaExceeded(ParleyError):
    """The budget of your plan is used up."""

    status, code, title = 429, "quota_exceeded", "Quota exceeded"
    remedy = "Wait for the next day or month, or ask for a larger plan."

    def __init__(self, detail: str | None = None) -> None:
        """Tell clients that the same request fails until the period ends."""
        super().__init__(detail, headers={"x-should-retry": "false"})


class ProviderFailure(ParleyError):
    """The model's provider failed."""

    status, code, title = 502, "provider_error", "Provider error"
    remedy = "Try again, or use another model."

    def __init__(
        self, detail: str | None = None, *, retry_after: int | None = None, turn_id: UUID | None = None
    ) -> None:
        """Take the seconds after which a retry makes sense, and the turn that failed."""
        headers = {"Retry-After": str(retry_after)} if retry_after else {}
        members: dict[str, Any] = {"turn_id": str(turn_id)} if turn_id else {}
        super().__init__(detail, headers=headers, **members)
        self.retry_after = retry_after


class ProviderRateLimited(ProviderFailure):
    """The model's provider limits our requests."""

    status, code, title = 429, "provider_rate_limited", "Provider rate limit"
    remedy = "Wait as long as `Retry-After` says."


class ProviderUnavailable(ProviderFailure):
    """The model cannot be reached right now."""

    status, code, title = 503, "provider_unavailable", "Model unavailable"
    remedy = "Wait as long as `Retry-After` says and try again, or use another model."


class ProviderTimeout(ProviderFailure):
    """The model did not answer in time."""

    status, code, title = 504, "provider_timeout", "Model timed out"


class ProviderContextExceeded(ProviderFailure):
    """The message is longer than the model's context window."""

    status, code, title = 400, "context_length_exceeded", "Message too long"


class TurnInterrupted(ProviderFailure):
    """The turn was interrupted before its first token."""

    status, code, title = 502, "upstream_error", "Interrupted"
    remedy = "Send the message again."


class TurnPending(ParleyError):
    """The turn has not been stored yet; poll it."""

    status, code, title = 504, "upstream_timeout", "Not ended in time"
    remedy = "Poll the turn named by `turn_id`; it ends by itself."

    def __init__(self, turn_id: UUID) -> None:
        """Name the turn that goes on."""
        super().__init__(None, turn_id=str(turn_id))


class HistoryUnavailable(DependencyUnavailable):
    """The conversation cannot be looked up right now."""


_FAILURES: dict[str, type[ProviderFailure]] = {
    kind.code: kind
    for kind in (
        ProviderFailure,
        ProviderRateLimited,
        ProviderUnavailable,
        ProviderTimeout,
        ProviderContextExceeded,
        TurnInterrupted,
    )
}


def failure(code: str, *, retry_after: int | None = None, turn_id: UUID | None = None) -> ProviderFailure:
    """Return the error that the ``error.code`` of a failed turn stands for."""
    kind = _FAILURES.get(code, ProviderFailure)
    if retry_after is None and kind in {ProviderRateLimited, ProviderUnavailable}:
        retry_after = 1
    return kind(retry_after=retry_after, turn_id=turn_id)
