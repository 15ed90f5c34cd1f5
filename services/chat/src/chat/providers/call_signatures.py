"""Signatures of tool calls, which Gemini requires back.

They are part of the ID of the call, which clients of every protocol send back as it is.
"""

import re
from typing import Any

from chat.tool_call_limits import MAX_CALL_ID

MARK = "__thought_signature__"
"""Separates the ID from the signature."""
_SIGNATURE = re.compile(r"[A-Za-z0-9+/=_-]+")


def signature_of(call: dict[str, Any]) -> str:
    """Return the signature of a received call, empty for none."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    found = google.get("thought_signature") if isinstance(google, dict) else None
    return found if isinstance(found, str) and _SIGNATURE.fullmatch(found) else ""


def signed_id(call_id: str, signature: str) -> str:
    """Return the ID of a call with its signature, without one that is too long."""
    signed = f"{call_id}{MARK}{signature}"
    return signed if signature and len(signed) <= MAX_CALL_ID else call_id


def plain_id(call_id: str) -> str:
    """Return the ID that the server gave."""
    return call_id.partition(MARK)[0] or call_id


def with_plain_ids(message: dict[str, Any], *, signed: bool) -> dict[str, Any]:
    """Return a message for a provider, whose calls and results have plain IDs. ``signed``: the calls are signed."""
    if message.get("tool_calls"):
        return {**message, "tool_calls": [_call(call, signed=signed) for call in message["tool_calls"]]}
    if isinstance(identifier := message.get("tool_call_id"), str) and MARK in identifier:
        return {**message, "tool_call_id": plain_id(identifier)}
    return message


def _call(call: Any, *, signed: bool) -> Any:
    identifier = call.get("id") if isinstance(call, dict) else None
    if not isinstance(identifier, str) or MARK not in identifier:
        return call
    plain = {**call, "id": plain_id(identifier)}
    if not signed or call.get("extra_content"):
        return plain
    return {**plain, "extra_content": {"google": {"thought_signature": identifier.partition(MARK)[2]}}}
