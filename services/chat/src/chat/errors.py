"""Errors of the chat service. The codes of provider failures are also the ``error.code`` of failed turns."""

from collections.abc import Iterable
from itertools import islice
from typing import Any
from uuid import UUID

from parley.errors import DependencyUnavailable, InvalidRequest, NotFound, ParleyError
from parley.field_errors import FieldError

MAX_NAMED_MODELS = 20
"""Models that an error names."""


class ContextLengthExceeded(InvalidRequest):
    """The message does not fit into the model's context window."""

    code, title = "context_length_exceeded", "Message too long"
    remedy = "Send a shorter message or system prompt, or use a model with a larger context window."

    def __init__(self, prompt_tokens: int, accepted: int) -> None:
        """Take the estimated tokens of the prompt, and the most that the model accepts."""
        super().__init__(f"The prompt has about {prompt_tokens} tokens. The model accepts at most {accepted}.")


class UnsupportedContent(InvalidRequest):
    """The model accepts text only."""

    code, title = "unsupported_content", "Unsupported content"
    remedy = "Send text parts only, or use a model with the capability `vision`."


class ConversationNotFound(NotFound):
    """The conversation does not exist."""

    code, title = "conversation_not_found", "Conversation not found"
    remedy = 'Omit `conversation_id` to start a conversation. To choose its ID yourself, send `"create": true` with it.'


class MessageNotFound(NotFound):
    """The message does not exist in this conversation."""

    code, title = "message_not_found", "Message not found"


class TurnNotFound(NotFound):
    """The turn does not exist."""

    code, title = "turn_not_found", "Turn not found"


class PreviousResponseNotFound(InvalidRequest):
    """The previous response does not exist, or this connection does not have it any more."""

    code, title = "previous_response_not_found", "Previous response not found"
    remedy = "Send the whole input without `previous_response_id`."

    def __init__(self) -> None:
        detail = "No response with this ID is stored, or kept by this connection."
        super().__init__(errors=[FieldError("/previous_response_id", "not_found", detail)])


class ModelNotFound(NotFound):
    """The model does not exist, or your plan does not include it."""

    code, title = "model_not_found", "Model not found"
    remedy = "Use an ID listed by `GET /api/v1/models`, or omit `model` to use the default."

    def __init__(self, available: Iterable[str]) -> None:
        """Take the aliases of the models that the user may use."""
        named = [f"`{alias}`" for alias in islice(available, MAX_NAMED_MODELS + 1)]
        listed = ", ".join(named[:MAX_NAMED_MODELS]) + (", …" if len(named) > MAX_NAMED_MODELS else "")
        hint = f"Your models: {listed}." if listed else "Your plan includes no model."
        super().__init__(f"The model does not exist, or your plan does not include it. {hint}")


class TurnInProgress(ParleyError):
    """Another turn of this conversation is still running."""

    status, code, title = 409, "turn_in_progress", "Turn in progress"
    remedy = "Wait for the turn in `turn_id`, stream it, or cancel it."

    def __init__(self, turn_id: UUID | None) -> None:
        members: dict[str, Any] = {"turn_id": str(turn_id)} if turn_id else {}
        super().__init__(None, headers={"x-should-retry": "false", **_turn_header(turn_id)}, **members)


class TurnCancelled(ParleyError):
    """The turn was cancelled before its result was complete."""

    status, code, title = 409, "turn_cancelled", "Cancelled"
    remedy = "If the result is still wanted, send the request again, with another `Idempotency-Key` if it has one."

    def __init__(self, turn_id: UUID) -> None:
        headers = {"x-should-retry": "false", **_turn_header(turn_id)}
        super().__init__(None, headers=headers, turn_id=str(turn_id))


class Erased(ParleyError):
    """The account has been erased."""

    status, code, title = 410, "erased", "Erased"
    remedy = "Erased accounts cannot be restored. Register a new account."


class TooManyOpenTurns(ParleyError):
    """Too many turns are open on this connection, or run for this user."""

    status, code, title = 429, "too_many_streams", "Too many streams"
    remedy = "Wait for an open turn to end, or cancel one."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class ConnectionLimitReached(InvalidRequest):
    """The connection has reached its maximum time of 60 minutes."""

    code, title = "websocket_connection_limit_reached", "Connection too old"
    remedy = "Open another WebSocket to continue."


class ProviderFailure(ParleyError):
    """The model provider returned an error."""

    status, code, title = 502, "provider_error", "Provider error"
    remedy = "Retry the request, or use another model."

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after: int | None = None,
        turn_id: UUID | None = None,
        lasting: bool = False,
    ) -> None:
        """Raise it as ``lasting`` if the same request fails again."""
        headers = {"Retry-After": str(retry_after)} if retry_after else {}
        if lasting:
            headers["x-should-retry"] = "false"
        members: dict[str, Any] = {"turn_id": str(turn_id)} if turn_id else {}
        super().__init__(detail, headers={**headers, **_turn_header(turn_id)}, **members)
        self.retry_after = retry_after


class ProviderRateLimited(ProviderFailure):
    """The model provider limits the request rate."""

    status, code, title = 429, "provider_rate_limited", "Provider rate limit"
    remedy = "Wait for the seconds in `Retry-After`, then retry."


class ProviderUnavailable(ProviderFailure):
    """The model is unavailable."""

    status, code, title = 503, "provider_unavailable", "Model unavailable"
    remedy = "Wait for the seconds in `Retry-After` and retry, or use another model."


class ProviderTimeout(ProviderFailure):
    """The model did not answer in time."""

    status, code, title = 504, "provider_timeout", "Model timed out"


class ProviderContextExceeded(ProviderFailure):
    """The message does not fit into the model's context window."""

    status, code, title = 400, "context_length_exceeded", "Message too long"


class ProviderContentFiltered(ProviderFailure):
    """The model provider refuses the message because of its content policy."""

    status, code, title = 400, "content_filter", "Content refused"
    remedy = "Change the message, or use another model."


class ImagesUnavailable(ProviderFailure):
    """The images of the message cannot be read now."""

    status, code, title = 503, "dependency_unavailable", "Temporarily unavailable"
    remedy = "Send the message again."


class TurnInterrupted(ProviderFailure):
    """The turn was interrupted before the first token."""

    status, code, title = 502, "upstream_error", "Interrupted"
    remedy = "Send the message again."


class TurnPending(ParleyError):
    """The turn did not end in time, or its end is not stored yet."""

    status, code, title = 504, "upstream_timeout", "Not ended in time"
    remedy = "Poll the turn in `turn_id`. It ends without further requests."

    def __init__(self, turn_id: UUID) -> None:
        # OpenAI's SDKs repeat any other 504, and send no key of their own: the repeat would be another turn.
        headers = {"x-should-retry": "false", **_turn_header(turn_id)}
        super().__init__(None, headers=headers, turn_id=str(turn_id))


class HistoryUnavailable(DependencyUnavailable):
    """The history service is unavailable, so the conversation cannot be read."""


_FAILURES: dict[str, type[ProviderFailure]] = {
    kind.code: kind
    for kind in (
        ProviderFailure,
        ProviderRateLimited,
        ProviderUnavailable,
        ProviderTimeout,
        ProviderContextExceeded,
        ProviderContentFiltered,
        ImagesUnavailable,
        TurnInterrupted,
    )
}


REFUSED = "The model provider refused the request, and would refuse it again. Check its parameters."
"""Detail of a ProviderFailure that is lasting. It is stored with the turn, so that a replay is lasting, too."""


def failure(
    code: str, message: str | None = None, *, retry_after: int | None = None, turn_id: UUID | None = None
) -> ProviderFailure:
    """Return the exception for ``error.code`` and ``error.message`` of a failed turn."""
    kind = _FAILURES.get(code, ProviderFailure)
    if retry_after is None and kind in {ProviderRateLimited, ProviderUnavailable, ImagesUnavailable}:
        retry_after = 1
    return kind(message, retry_after=retry_after, turn_id=turn_id, lasting=message == REFUSED)


def _turn_header(turn_id: UUID | None) -> dict[str, str]:
    """Return the header that names the turn of an error: bodies below ``/v1`` have no member for it."""
    return {"X-Turn-Id": str(turn_id)} if turn_id else {}
