"""Resumption by the gateway: the headers with which a stream says how another replica continues it."""

from fastapi import Request

from chat.model import Turn
from parley.process.sockets import PEER_TIMEOUT

RESUMES = "x-parley-resumes"
"""Request header of a gateway that continues a broken stream itself. It removes the header of clients."""


def resumes(request: Request) -> bool:
    """Return whether the gateway that sent the request continues a broken stream itself."""
    return RESUMES in request.headers


def resumption_headers(request: Request, turn: Turn, after: int) -> dict[str, str]:
    """Return the headers of a stream in Parley's format that begins after a cursor."""
    query = f"?after={after}" if after else ""
    return _headers(request, f"/api/v1/chat/turns/{turn.id}/stream{query}")


def completion_resumption_headers(request: Request, turn: Turn, *, include_usage: bool, cancel: bool) -> dict[str, str]:
    """Return the headers of a stream in OpenAI's format. Its events have no IDs: the gateway counts them."""
    query = f"include_usage={include_usage:d}&cancel={cancel:d}"
    return _headers(request, f"/internal/completions/{turn.id}/stream?{query}")


def response_resumption_headers(request: Request, turn: Turn, *, first: int, cancel: bool) -> dict[str, str]:
    """Return the headers of a stream of a response that begins with event ``first``. The gateway counts its events."""
    return _headers(request, f"/internal/responses/{turn.id}/stream?first={first}&cancel={cancel:d}")


def message_resumption_headers(request: Request, turn: Turn, *, cancel: bool) -> dict[str, str]:
    """Return the headers of a stream in Anthropic's format. The gateway counts its events."""
    return _headers(request, f"/internal/messages/{turn.id}/stream?cancel={cancel:d}")


def ui_resumption_headers(request: Request, turn: Turn) -> dict[str, str]:
    """Return the headers of a UI message stream. The gateway counts its events."""
    return _headers(request, f"/internal/ui/{turn.id}/stream")


def _headers(request: Request, target: str) -> dict[str, str]:
    return {"X-Parley-Resume": target, "X-Parley-Ping": str(PEER_TIMEOUT.ping_interval)} if resumes(request) else {}
