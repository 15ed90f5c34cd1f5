"""Frames and subprotocols that the WebSocket proxy reads."""

import orjson
import pytest

from gateway.proxy.websocket import offered_token
from gateway.proxy.websocket_frames import MAX_STRUCTURE, ClientFrame, read_frame
from parley.errors import AmbiguousCredentials, InvalidRequest


def read(text: str) -> ClientFrame:
    return read_frame({"type": "websocket.receive", "text": text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (' {"type": "auth", "token": "abc"}', ClientFrame("abc", False, '{"type":"auth","token":"abc"}')),
        ('{"type":"\\u0061uth","token":""}', ClientFrame("", False, '{"type":"auth","token":""}')),
        ('{"type":"turn.cancel","token":"abc"}', ClientFrame(None, False, '{"type":"turn.cancel","token":"abc"}')),
        ('{"type":"turn.create"}', ClientFrame(None, True, '{"type":"turn.create"}')),
        ('{"type":"response.create"}', ClientFrame(None, True, '{"type":"response.create"}')),
    ],
)
def test_the_service_receives_the_frame_that_was_parsed(text: str, expected: ClientFrame) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"turn.cancel","type":"auth","token":"t"}',
        '{"type":"auth","token":"t","token":"u"}',
        '{"type":"turn.cancel","a":{"b":1,"b":2}}',
        '{"type":"auth","token":"t","x":NaN}',
        '{"type":"turn.cancel","x":-Infinity}',
        '{"type":"turn.cancel","x":1e999}',
        '{"type":"turn.cancel","x":"\\ud800"}',
        '{"type":"turn.cancel","x":123456789012345678901}',
        '\ufeff{"type":"turn.cancel"}',
        '{"type":"turn.cancel"} {}',
        '{"type":"turn.cancel",}',
        "{'type':'turn.cancel'}",
        '{"type":"auth"}',
        '{"type":"auth","token":7}',
        '{"type":"auth","token":"t","more":1}',
        '{"type":["auth"],"token":"t"}',
        '{"Type":"auth","token":"t"}',
        "[1]",
        "null",
        "",
        "not JSON",
        "[" * 60_000,
        '{"type":"a","x":' + "[" * 500 + "]" * 500 + "}",
        '{"type":"a","x":[' + "0," * MAX_STRUCTURE + "0]}",
        '{"type":"a","x":[' + "{}," * 21_000 + "0]}",
    ],
)
def test_a_frame_that_another_parser_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read(text)


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        read_frame({"type": "websocket.receive", "bytes": b'{"type":"auth","token":"t"}'})


def test_a_long_frame_is_refused_before_the_caller_is_known() -> None:
    text = orjson.dumps({"type": "auth", "token": "x" * 16_400}).decode()
    assert read(text).token == "x" * 16_400
    with pytest.raises(InvalidRequest):
        read_frame({"type": "websocket.receive", "text": text}, anonymous=True)


@pytest.mark.parametrize("letter", [",", "{", '"', "😀"])
def test_the_longest_message_and_system_prompt_fit_into_a_frame(letter: str) -> None:
    body = {"message": letter * 32_000, "system_prompt": letter * 32_000}
    text = orjson.dumps({"type": "turn.create", "ref": "r", "body": body}).decode()
    assert orjson.loads(read(text).text)["body"] == body


def test_a_token_may_be_offered_as_a_subprotocol() -> None:
    assert offered_token(["parley.v1", "parley.bearer.abc", "parley.bearer.abc"]) == "abc"
    assert offered_token(["parley.v1"]) == ""
    with pytest.raises(AmbiguousCredentials):
        offered_token(["parley.bearer.abc", "parley.bearer.def"])
