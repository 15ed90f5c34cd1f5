"""Frames and subprotocols that the WebSocket proxy reads."""

import pytest

from gateway.proxy.websocket import auth_token, offered_token


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ('{"type":"auth","token":"abc"}', "abc"),
        ('{"type":"auth"}', ""),
        ('{"type":"auth","token":7}', ""),
        ('{"type":"turn.cancel","token":"abc"}', None),
        ("[1]", None),
        ("not JSON", None),
    ],
)
def test_only_auth_frames_carry_a_token(text: str, token: str | None) -> None:
    assert auth_token(text) == token


def test_a_token_may_be_offered_as_a_subprotocol() -> None:
    assert offered_token(["parley.v1", "parley.bearer.abc"]) == "abc"
    assert offered_token(["parley.v1"]) == ""
