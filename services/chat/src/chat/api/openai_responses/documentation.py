"""OpenAPI descriptions of the Responses API."""

from typing import Any

from chat.api.documentation import NEW_TURN_HEADERS, TURN_HEADERS, json_docs
from parley.web.openapi import ResponseDocs, header_parameter

_ID = "resp_01a200aa000070008000000000000002"
_COMPACTION = "cmp_01a200aa000070008000000000000002"
_OUTPUT = {
    "id": "msg_01a200aa000070008000000000000002",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello Ada.", "annotations": [], "logprobs": []}],
}
RESPONSE_EXAMPLE = {
    "id": _ID,
    "object": "response",
    "created_at": 1795307719,
    "status": "completed",
    "model": "default",
    "output": [_OUTPUT],
    "conversation": {"id": "conv_01a200aa000070008000000000000000"},
    "previous_response_id": None,
    "usage": {"input_tokens": 41, "output_tokens": 16, "total_tokens": 57},
}
EVENT_EXAMPLE = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,'
    '"item_id":"msg_01a200aa000070008000000000000002","output_index":0,"content_index":0,"delta":"Hel","logprobs":[]}\n\n'
)
_ITEM = {
    "id": "msg_01a200aa000070008000000000000002_i0",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_text", "text": "Hi"}],
}


def _response(description: str, headers: dict[str, Any]) -> ResponseDocs:
    stream = {"schema": {"type": "string"}, "example": EVENT_EXAMPLE}
    found = json_docs(description, RESPONSE_EXAMPLE)
    found[200]["headers"] = headers
    found[200]["content"]["text/event-stream"] = stream
    return found


RESPONSE = _response(
    "A response in OpenAI's format; with `stream: true`, its events as server-sent events, numbered by "
    "`sequence_number`.",
    NEW_TURN_HEADERS,
)
STORED_RESPONSE = _response("The response, or its events.", TURN_HEADERS)
COMPACTION = json_docs(
    "The item that takes the place of the input.",
    {
        "id": _ID,
        "object": "response.compaction",
        "created_at": 1795307719,
        "output": [{"id": _COMPACTION, "type": "compaction", "encrypted_content": _COMPACTION}],
        "usage": {"input_tokens": 4100, "output_tokens": 160, "total_tokens": 4260},
    },
)
COMPACTION[200]["headers"] = NEW_TURN_HEADERS
DELETED = json_docs("The response is deleted.", {"id": _ID, "object": "response", "deleted": True})
INPUT_ITEMS = json_docs(
    "A page of input items.",
    {"object": "list", "data": [_ITEM], "first_id": _ITEM["id"], "last_id": _ITEM["id"], "has_more": False},
)
CONVERSATION = json_docs(
    "A conversation in OpenAI's format.",
    {"id": "conv_01a200aa000070008000000000000000", "object": "conversation", "created_at": 1795307719, "metadata": {}},
)
ITEMS = INPUT_ITEMS
ITEM = json_docs("The item.", _ITEM)

RESPONSES_SOCKET: dict[str, Any] = {
    "tags": ["openai"],
    "operationId": "chat_open_responses_socket",
    "description": (
        "Open a WebSocket for responses.\n\nOpenAI's WebSocket mode: each frame `response.create` has the members of "
        "`POST /v1/responses` without `stream` and `background`, and may have `generate`. The events of the stream "
        "are text frames. Responses run one after the other; at most 8 wait. An error is a frame of the type `error`."
    ),
    "parameters": [
        header_parameter("Sec-WebSocket-Protocol", "For browsers.", "parley.v1, parley.bearer.eyJ0eXAi…"),
    ],
    "responses": {"101": {"description": "The WebSocket is open; see `x-client-frames`."}},
    "x-close-codes": {
        "1000": "normal closure",
        "1001": "60 minutes are over: connect again",
        "1009": "frame too big",
        "1012": "the server restarts: connect again, retrieve a stored response with `starting_after`",
        "4401": "the token has expired or was revoked",
    },
}
"""Operation of the WebSocket, which FastAPI leaves out."""
