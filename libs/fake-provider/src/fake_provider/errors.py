"""Errors in OpenAI's format: `{"error": {message, type, param, code}}`."""

from http import HTTPStatus

import orjson

from fake_provider.knobs import Knobs

ERROR_KINDS = {
    400: ("invalid_request_error", None, "The fake provider is configured to reject this request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "This request is not permitted."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}

STREAM_ERROR = "The server had an error while processing your request."


class RejectedRequestError(Exception):
    """A request that OpenAI's API would reject."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status

    def body(self) -> bytes:
        return error_body(self.message, "invalid_request_error", param=self.param, code=self.code)


def error_body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def error_text(status: int, knobs: Knobs, key: str) -> str:
    """Return the text of the error for a status: OpenAI's, unless the knobs set another."""
    text = knobs.error_message if knobs.error_message is not None else _kind(status)[2]
    return f"{text} (https://api.example.com/v1/chat/completions?key={key})" if knobs.leak_key else text


def stream_error_text(knobs: Knobs) -> str:
    """Return the text of an error inside a stream: OpenAI's, unless the knobs set another."""
    return STREAM_ERROR if knobs.error_message is None else knobs.error_message


def _kind(status: int) -> tuple[str, str | None, str]:
    fallback = ERROR_KINDS[500 if status >= HTTPStatus.INTERNAL_SERVER_ERROR else 400]
    return ERROR_KINDS.get(status, fallback)


def knob_error(status: int, knobs: Knobs, key: str) -> bytes:
    """Render the error for a status."""
    kind, code, _ = _kind(status)
    return error_body(error_text(status, knobs, key), kind, code=knobs.error_code or code)
