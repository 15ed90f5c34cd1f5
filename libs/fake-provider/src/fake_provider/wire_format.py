"""OpenAI wire format of answers: a completion or its chunks."""

import time
from typing import Any

import orjson

from fake_provider.answer_builder import WORD, ModelAnswer
from fake_provider.errors import error_body, knob_error, stream_error_text
from fake_provider.knobs import Knobs
from fake_provider.schemas import ModelRequest

DONE = b"data: [DONE]\n\n"
SSE_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
LONG_LINE_BYTES = 8 * 1024 * 1024


class AnswerRenderer:
    """Renderer of one answer. The parts that all chunks share are rendered once."""

    def __init__(self, call_id: str, request: ModelRequest, knobs: Knobs, answer: ModelAnswer) -> None:
        self._request = request
        self._knobs = knobs
        self._answer = answer
        self._created = int(time.time())
        self._id = call_id
        self._reports_usage = request.wants_usage and knobs.usage
        self._head = b"data: " + self._common("chat.completion.chunk")[:-1] + b',"choices":['
        self._before = self._head + b'{"index":0,"delta":'
        self._tail = b'],"usage":null}\n\n' if self._reports_usage else b"]}\n\n"
        self._after = b',"logprobs":null,"finish_reason":null}' + self._tail
        self._after_logprobs = b',"finish_reason":null}' + self._tail

    def _common(self, kind: str) -> bytes:
        return orjson.dumps(
            {
                "id": self._id,
                "object": kind,
                "created": self._created,
                "model": self._request.model,
                "system_fingerprint": "fp_fake",
            }
        )

    def begin(self) -> bytes:
        """Render the role, and the reasoning before the answer."""
        reasoning = self._reasoning()
        thought = self._before + orjson.dumps(reasoning) + self._after if reasoning else b""
        return self._before + self._answer.role_delta + self._after + thought

    def chunk(self, start: int, end: int) -> bytes:
        """Render the tokens `start + 1` to `end`."""
        delta = self._answer.delta(start, end)
        if not self._request.logprobs:
            return self._before + delta + self._after
        logprobs = orjson.dumps(self._logprobs(orjson.loads(delta).get("content")))
        return self._before + delta + b',"logprobs":' + logprobs + self._after_logprobs

    def end_chunks(self) -> bytes:
        """Render the end of the stream: finish reason, usage if requested, and `[DONE]`."""
        reason = orjson.dumps(self._answer.finish_reason)
        parts = [self._before, b'{},"logprobs":null,"finish_reason":', reason, b"}", self._tail]
        if self._reports_usage:
            parts += [self._head, b'],"usage":', orjson.dumps(self._usage()), b"}\n\n"]
        if self._knobs.done:
            parts.append(DONE)
        return b"".join(parts)

    def garbage(self) -> bytes:
        if self._knobs.garbage == "long":
            return b"data: " + b"x" * LONG_LINE_BYTES + b"\n\n"
        half = self._before + b'{"content":"'
        return half + (b"\n\n" if self._knobs.garbage == "json" else b'\xe2\x82"}' + self._after)

    def stream_error(self) -> bytes:
        message = stream_error_text(self._knobs)
        return b"data: " + error_body(message, "server_error", code=self._knobs.error_code) + b"\n\n"

    def status_error(self, status: int, key: str) -> bytes:
        return knob_error(status, self._knobs, key)

    def completion(self) -> bytes:
        """Render the whole answer as one `chat.completion`."""
        choice = {
            "index": 0,
            "message": self._answer.message() | self._reasoning(),
            "logprobs": self._logprobs(self._answer.message()["content"]) if self._request.logprobs else None,
            "finish_reason": self._answer.finish_reason,
        }
        rest: dict[str, Any] = {"choices": [choice]}
        if self._knobs.usage:
            rest["usage"] = self._usage()
        return self._common("chat.completion")[:-1] + b"," + orjson.dumps(rest)[1:]

    def _logprobs(self, text: str | None) -> dict[str, Any] | None:
        """Return the log probabilities of a text, each word of which is a token."""
        if not text:
            return None
        tokens = [_token(token, 0) for token in WORD.findall(text)]
        for token in tokens:
            token["top_logprobs"] = [
                _token(token["token"] + "?" * at, at) for at in range(self._request.top_logprobs or 0)
            ]
        return {"content": tokens, "refusal": None}

    def _reasoning(self) -> dict[str, Any]:
        words = " ".join([f"r{number}" for number in range(1, self._knobs.reasoning + 1)])
        return {"reasoning_content": words} if words and self._request.wants_reasoning else {}

    def _usage(self) -> dict[str, Any]:
        prompt = self._request.prompt_tokens
        completion = self._answer.total + self._knobs.reasoning_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": min(self._knobs.cached_tokens, prompt)},
            "completion_tokens_details": {"reasoning_tokens": self._knobs.reasoning_tokens},
        }


def _token(text: str, rank: int) -> dict[str, Any]:
    """Return a token with its log probability: each rank is half as probable as the one before."""
    return {"token": text, "logprob": -0.5 - 0.7 * rank, "bytes": list(text.encode())}
