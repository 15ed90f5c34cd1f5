"""Turns over the WebSocket whose work fails, on in-memory stores."""

from typing import Any

import pytest

from chat_testing.api import open_api, shared_app
from chat_testing.asgi_socket import open_socket
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()


async def test_an_unforeseen_error_answers_its_frame_and_the_socket_goes_on(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Any:
        raise KeyError

    async with open_api(bench, ISSUER), open_socket(shared_app(), "/api/v1/chat/ws", ISSUER.token(new_id())) as socket:
        assert (await socket.next())["type"] == "ready"
        with monkeypatch.context() as patch:
            patch.setattr(bench.service, "open", fail)
            socket.send(type="turn.create", ref="c1", body={"message": "Hi"})
            error = await socket.next()
        assert (error["type"], error["ref"], error["problem"]["code"]) == ("error", "c1", "internal_error")
        socket.send(type="turn.create", ref="c2", body={"message": "Hi"})
        assert (await socket.next())["ref"] == "c2"
