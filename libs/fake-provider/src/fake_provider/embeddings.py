"""OpenAI's embeddings endpoint. A vector depends on its input and the number of dimensions only."""

import base64
import hashlib
import struct
from typing import Any

import orjson
from pydantic import ValidationError

from fake_provider.errors import RejectedRequestError
from fake_provider.schemas import ModelRequest
from fake_provider.wire_format import AnswerRenderer

DEFAULT_DIMENSIONS = 8


class EmbeddingModelRequest(ModelRequest):
    """Members of an embeddings request. The texts are also the message, for the knobs in them."""

    input: list[str | list[int]]
    encoding_format: str = "float"
    dimensions: int = DEFAULT_DIMENSIONS


class EmbeddingRenderer(AnswerRenderer):
    """Renderer of the vectors of one request."""

    def completion(self) -> bytes:
        request = self._request
        assert isinstance(request, EmbeddingModelRequest)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(_vector(each, request.dimensions), request)}
            for index, each in enumerate(request.input)
        ]
        tokens = sum(len(each.split()) if isinstance(each, str) else len(each) for each in request.input)
        usage: dict[str, Any] = {"prompt_tokens": tokens, "total_tokens": tokens}
        found: dict[str, Any] = {"object": "list", "data": data, "model": request.model}
        return orjson.dumps({**found, "usage": usage} if self._knobs.usage else found)


class EmbeddingsApi:
    """OpenAI's embeddings."""

    renderer = EmbeddingRenderer

    def parse(self, document: object) -> EmbeddingModelRequest:
        given = document if isinstance(document, dict) else {}
        found = given.get("input")
        inputs = found if isinstance(found, list) and not all(isinstance(each, int) for each in found) else [found]
        text = "\n".join(each for each in inputs if isinstance(each, str))
        try:
            return EmbeddingModelRequest.model_validate(
                {**given, "input": inputs, "messages": [{"role": "user", "content": text}]}
            )
        except ValidationError as error:
            raise RejectedRequestError(f"Invalid input: {error.error_count()} errors.", param="input") from None

    def refusal(self, error: RejectedRequestError) -> bytes:
        return error.body()


def _vector(given: str | list[int], dimensions: int) -> list[float]:
    seed = given.encode() if isinstance(given, str) else orjson.dumps(given)
    return [
        struct.unpack("<i", hashlib.sha256(b"%d " % position + seed).digest()[:4])[0] / 2**31
        for position in range(dimensions)
    ]


def _encoded(vector: list[float], request: EmbeddingModelRequest) -> list[float] | str:
    if request.encoding_format != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
