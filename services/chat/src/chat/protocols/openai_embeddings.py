"""OpenAI's embeddings format: request, its bounds, and the answer."""

from typing import Any, Literal

from pydantic import Field

from chat.errors import ContextLengthExceeded
from chat.model import Turn
from chat.protocols.json_values import Json
from chat.protocols.openai_chat.schemas import OpenModel
from chat.token_estimate import estimate
from parley.errors import InvalidRequest
from parley.field_errors import FieldError, json_pointer
from parley.web.schemas import Text

MAX_INPUTS = 2048
MAX_TOKEN_NUMBER = 2**31 - 1
MAX_DIMENSIONS = 65_536
INPUT_FORMS = "Must be a text, a list of texts, a list of token numbers, or a list of such lists."


class EmbeddingRequest(OpenModel):
    """``POST /v1/embeddings``."""

    model: Text | None = Field(None, max_length=200)
    input: Json = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1, le=MAX_DIMENSIONS, strict=True)
    user: Text | None = Field(None, max_length=512)

    def body(self) -> dict[str, Any]:
        """Return the body for the provider, without the model."""
        return self.model_dump(exclude_none=True, include={"input", "encoding_format", "dimensions", "user"})


def inputs_of(request: EmbeddingRequest) -> list[str | list[int]]:
    """Return the inputs; raises InvalidRequest."""
    given = request.input
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        raise _invalid("/input", "required" if given is None else "unsupported", INPUT_FORMS)
    if given and all(map(_is_token, given)):
        return [given]
    if not 1 <= len(given) <= MAX_INPUTS:
        raise _invalid("/input", "too_long" if given else "too_short", f"Must have 1 to {MAX_INPUTS} inputs.")
    for position, each in enumerate(given):
        pointer = json_pointer("input", position)
        if not isinstance(each, str) and not (isinstance(each, list) and all(map(_is_token, each))):
            raise _invalid(pointer, "unsupported", INPUT_FORMS)
        if not each:
            raise _invalid(pointer, "too_short", "Must not be empty.")
    return given


def tokens_of(inputs: list[str | list[int]], longest: int) -> int:
    """Return the estimated tokens of all inputs; raises ContextLengthExceeded for one of more than ``longest``."""
    counts = [estimate(each) if isinstance(each, str) else len(each) for each in inputs]
    if max(counts) > longest:
        raise ContextLengthExceeded(max(counts), longest)
    return sum(counts)


def answer(turn: Turn, embeddings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer with the usage of the turn that made the embeddings."""
    tokens = turn.usage.prompt_tokens if turn.usage else 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": embeddings, "model": turn.model, "usage": usage}


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKEN_NUMBER


def _invalid(pointer: str, code: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer, code, detail)])
