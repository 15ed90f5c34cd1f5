"""OpenAPI descriptions of the turn routes: headers, errors and streams."""

from typing import Any

from chat import errors, file_errors
from parley.config.plans import QuotaExceeded
from parley.errors import InvalidCursor, InvalidJson, InvalidRequest, UnsupportedMediaType, ValidationFailed
from parley.web.idempotency_keys import IdempotencyKeyReused
from parley.web.openapi import (
    EXAMPLE_ID,
    IDEMPOTENCY_KEY_RULE,
    REPLAYED,
    ResponseDocs,
    header,
    header_parameter,
    location,
    problems,
)

_IDEMPOTENCY_KEY = header_parameter("Idempotency-Key", IDEMPOTENCY_KEY_RULE, "order-1017")
_CACHE_CONTROL = header_parameter(
    "Cache-Control",
    "`no-cache` requests a new answer, `no-store` a new answer that is not cached either.",
    "no-cache",
)
_PREFER = header_parameter("Prefer", "`respond-async` returns 202 at once; poll `Location`.", "respond-async")
_LAST_EVENT_ID = header_parameter(
    "Last-Event-ID", "ID of the last event received. It takes precedence over `after`.", "5"
)
KEY_PARAMETERS: dict[str, Any] = {"parameters": [_IDEMPOTENCY_KEY]}
TURN_PARAMETERS: dict[str, Any] = {"parameters": [_IDEMPOTENCY_KEY, _CACHE_CONTROL]}
ASYNC_PARAMETERS: dict[str, Any] = {"parameters": [_IDEMPOTENCY_KEY, _PREFER, _CACHE_CONTROL]}
RESUME_PARAMETERS: dict[str, Any] = {"parameters": [_LAST_EVENT_ID]}
TURN_HEADERS = {
    "X-Turn-Id": header("ID of the turn, sent before the body.", EXAMPLE_ID),
    "X-Conversation-Id": header("ID of the conversation, unless the turn is not stored.", EXAMPLE_ID),
    **location("The turn.", f"/api/v1/chat/turns/{EXAMPLE_ID}"),
}
NEW_TURN_HEADERS = {
    **TURN_HEADERS,
    **REPLAYED,
    "x-ratelimit-limit-tokens": header("The plan's limit on tokens per minute.", "100000"),
    "x-ratelimit-remaining-tokens": header("Tokens that remain.", "99943"),
    "x-ratelimit-reset-tokens": header("Time until all tokens remain again.", "1s"),
}
ACCEPTED_HEADERS = {**NEW_TURN_HEADERS, "Preference-Applied": header("The preference that was used.", "respond-async")}
TURN_NOT_FOUND = problems(errors.TurnNotFound)
INVALID_CURSOR = problems(InvalidCursor)
_REFUSALS = (
    file_errors.FileNotFound,
    file_errors.FileEncrypted,
    file_errors.FileTooLong,
    file_errors.FileUnreadable,
    file_errors.FileWithoutText,
    InvalidJson,
    InvalidRequest,
    UnsupportedMediaType,
    ValidationFailed,
    errors.ContextLengthExceeded,
    errors.ConversationNotFound,
    errors.MessageNotFound,
    errors.ModelNotFound,
    errors.TurnInProgress,
    errors.Erased,
    IdempotencyKeyReused,
    QuotaExceeded,
    errors.ProviderUnavailable,
    errors.HistoryUnavailable,
)
"""Errors before a turn starts."""
_FAILURES = (
    errors.ProviderRateLimited,
    errors.ProviderFailure,
    errors.TurnInterrupted,
    errors.ProviderTimeout,
    errors.ProviderContentFiltered,
    errors.TurnPending,
)
"""Errors of a turn that failed. A stream has them in its last event."""
START_ERRORS = problems(*_REFUSALS)
ANSWER_ERRORS = problems(*_REFUSALS, *_FAILURES)
UI_START_ERRORS = problems(errors.UnsupportedContent, *_REFUSALS)
COMPLETION_ERRORS = problems(errors.UnsupportedContent, *_REFUSALS, *_FAILURES)
RESULT_ERRORS = problems(errors.UnsupportedContent, *_REFUSALS, *_FAILURES, errors.TurnCancelled)
"""Errors of a call that returns its whole result or none. A cancelled answer is a part of one, and no error."""
_STREAM = (
    "Server-sent events. The last one has `finished: true`. Events with a name concern the connection, not the turn: "
    "the turn goes on, so resume it. A comment arrives at least every 15 seconds."
)
STREAM_EXAMPLE = (
    'id: 1\ndata: {"turn_id":"01a200aa-0000-7000-8000-000000000002",'
    '"conversation_id":"01a200aa-0000-7000-8000-000000000000","delta":"Hel","finished":false}\n\n'
)
UI_STREAM_EXAMPLE = (
    'data: {"type":"start","messageId":"01a200aa-0000-7000-8000-000000000002"}\n\n'
    'data: {"type":"start-step"}\n\ndata: {"type":"text-start","id":"text-0"}\n\n'
    'data: {"type":"text-delta","id":"text-0","delta":"Hel"}\n\n'
)
TURN_EVENTS: dict[str, Any] = {
    "message": ["TurnStartedEvent", "TurnDeltaEvent", "TurnFinishedEvent"],
    "draining": ["DrainingEvent"],
    "interrupted": ["InterruptedEvent"],
    "session_revoked": ["SessionRevokedEvent"],
}
COMPLETION_EXAMPLE = {
    "id": "chatcmpl-01a200aa000070008000000000000002",
    "object": "chat.completion",
    "created": 1795307719,
    "model": "default",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello Ada."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 41, "completion_tokens": 16, "total_tokens": 57},
}
CHUNK_EXAMPLE = (
    'data: {"id":"chatcmpl-01a200aa000070008000000000000002","object":"chat.completion.chunk","created":1795307719,'
    '"model":"default","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}\n\n'
)
COMPLETION: ResponseDocs = {
    200: {
        "description": "A completion in OpenAI's format; with `stream: true`, its chunks as server-sent events.",
        "headers": NEW_TURN_HEADERS,
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": COMPLETION_EXAMPLE},
            "text/event-stream": {"schema": {"type": "string"}, "example": CHUNK_EXAMPLE},
        },
    }
}
SOCKET: dict[str, Any] = {
    "tags": ["chat"],
    "operationId": "chat_open_socket",
    "description": (
        "Open a WebSocket for turns.\n\nOffer the subprotocols `parley.v1` and `parley.bearer.<token>`, or send the "
        "frame `auth` within 5 seconds. Send `auth` again to renew the authentication. Frames are text of at most "
        "1 MiB, each one JSON object. At most 20 turns run at once on a socket. A turn goes on when the socket closes: "
        "open another one and send `turn.resume`."
    ),
    "parameters": [
        header_parameter("Sec-WebSocket-Protocol", "The offered subprotocols.", "parley.v1, parley.bearer.eyJ0eXAi…")
    ],
    "responses": {"101": {"description": "The WebSocket is open; see `x-client-frames` and `x-server-frames`."}},
    "x-close-codes": {
        "1000": "normal closure",
        "1001": "the server shuts down: connect again",
        "1009": "frame too big",
        "4400": "invalid frame",
        "4401": "not authenticated, or the token expired",
        "4403": "insufficient scope",
        "4408": "no `auth` within 5 seconds",
        "4429": "limit exceeded",
    },
}
"""Operation of the WebSocket, which FastAPI leaves out."""


def stream(headers: dict[str, Any]) -> ResponseDocs:
    """Return the description of a stream of turn events."""
    events = {"schema": {"type": "string"}, "example": STREAM_EXAMPLE, "x-events": TURN_EVENTS}
    return {200: {"description": _STREAM, "headers": headers, "content": {"text/event-stream": events}}}


def ui_stream(headers: dict[str, Any]) -> ResponseDocs:
    """Return the description of a UI message stream."""
    content = {"text/event-stream": {"schema": {"type": "string"}, "example": UI_STREAM_EXAMPLE}}
    described = {"X-Vercel-AI-UI-Message-Stream": header("Version of the stream's format.", "v1"), **headers}
    text = "The AI SDK's UI message stream. `messageId` is the turn. A comment arrives at least every 15 seconds."
    return {200: {"description": text, "headers": described, "content": content}}


def json_docs(description: str, example: dict[str, Any]) -> ResponseDocs:
    """Return the description of a response that is a JSON object."""
    return {
        200: {
            "description": description,
            "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
        }
    }
