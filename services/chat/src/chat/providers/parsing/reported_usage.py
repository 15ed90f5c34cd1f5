"""Token counts that a provider reports. Counts that cannot be true are not used."""

from typing import Any

from chat.generation import UNUSABLE_USAGE
from parley_events.parts import Usage

MAX_COUNT = 2**31 - 1
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens")
"""Names of the cached tokens at Moonshot and DeepSeek, which have no details."""


def parse_usage(reported: Any) -> Usage:
    """Return the usage, or ``UNUSABLE_USAGE`` unless prompt and completion are counts."""
    if not isinstance(reported, dict):
        return UNUSABLE_USAGE
    prompt = _count(reported, "prompt_tokens", "input_tokens")
    completion = _count(reported, "completion_tokens", "output_tokens")
    if prompt is None or completion is None:
        return UNUSABLE_USAGE
    cached = _detail(reported, "prompt_tokens_details", "cached_tokens", at_most=prompt)
    if cached == 0:
        cached = next((count for name in _CACHED if (count := _count(reported, name)) and count <= prompt), 0)
    uncounted = _uncounted(reported, prompt, completion, cached)
    completion += uncounted
    reasoning = _detail(reported, "completion_tokens_details", "reasoning_tokens", at_most=completion)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        cached_tokens=cached or 0,
        reasoning_tokens=reasoning or uncounted,
        estimated=cached is None or reasoning is None,
    )


def _uncounted(reported: dict[str, Any], prompt: int, completion: int, cached: int | None) -> int:
    """Return the reasoning tokens that are only part of the total.

    xAI and Gemini charge for them as output, but leave them out of ``completion_tokens``. Servers that leave the cached
    tokens out of ``prompt_tokens`` have a larger total too.
    """
    rest = (_count(reported, "total_tokens") or 0) - prompt - completion
    return rest if rest > 0 and cached is not None and rest != cached else 0


def _count(counts: dict[str, Any], *names: str) -> int | None:
    value = next((counts[name] for name in names if name in counts), None)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        return None
    return value


def _detail(reported: dict[str, Any], group: str, name: str, *, at_most: int) -> int | None:
    """Return a part of a count, 0 if it is not reported, None if it cannot be true."""
    details = reported.get(group)
    if not isinstance(details, dict) or details.get(name) is None:
        return 0
    value = _count(details, name)
    return value if value is not None and value <= at_most else None
