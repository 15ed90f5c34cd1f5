"""The lifespan of an ASGI app, run outside a server."""

import pytest
from starlette.types import Receive, Scope, Send

from parley.web.lifespan import lifespan


class RecordingApp:
    """Records the phases of its lifespan; fails or returns in one of them."""

    def __init__(self, *, fails_in: str = "", returns_in: str = "") -> None:
        self.phases: list[str] = []
        self._fails_in, self._returns_in = fails_in, returns_in

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        for phase in ("startup", "shutdown"):
            message = await receive()
            assert message["type"] == f"lifespan.{phase}"
            self.phases.append(phase)
            if phase == self._fails_in:
                raise ConnectionError(phase)
            if phase == self._returns_in:
                return
            await send({"type": f"lifespan.{phase}.complete"})


async def test_an_app_starts_before_the_context_and_stops_after_it() -> None:
    app = RecordingApp()
    async with lifespan(app):
        assert app.phases == ["startup"]
    assert app.phases == ["startup", "shutdown"]


async def test_an_exception_in_the_context_propagates_after_the_shutdown() -> None:
    app = RecordingApp()
    with pytest.raises(LookupError):
        async with lifespan(app):
            raise LookupError
    assert app.phases == ["startup", "shutdown"]


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_an_exception_of_the_app_propagates(phase: str) -> None:
    with pytest.raises(ConnectionError, match=phase):
        async with lifespan(RecordingApp(fails_in=phase)):
            pass


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_an_app_that_returns_without_completing_a_phase_is_an_error(phase: str) -> None:
    with pytest.raises(RuntimeError, match="without completing"):
        async with lifespan(RecordingApp(returns_in=phase)):
            pass
