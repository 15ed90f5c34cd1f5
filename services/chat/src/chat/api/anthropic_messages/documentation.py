"""OpenAPI descriptions of the Messages API."""

from chat.api.documentation import NEW_TURN_HEADERS
from parley.web.openapi import ResponseDocs

MESSAGE_EXAMPLE = {
    "id": "msg_01a200aa000070008000000000000002",
    "type": "message",
    "role": "assistant",
    "model": "default",
    "content": [{"type": "text", "text": "Hello Ada."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 41,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 16,
    },
}
EVENT_EXAMPLE = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Hel"}}\n\n'
)
MESSAGE: ResponseDocs = {
    200: {
        "description": "A message in Anthropic's format; with `stream: true`, its events as server-sent events.",
        "headers": NEW_TURN_HEADERS,
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": MESSAGE_EXAMPLE},
            "text/event-stream": {"schema": {"type": "string"}, "example": EVENT_EXAMPLE},
        },
    }
}
TOKEN_COUNT: ResponseDocs = {
    200: {
        "description": "The estimated input tokens.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": {"input_tokens": 14}}},
    }
}
