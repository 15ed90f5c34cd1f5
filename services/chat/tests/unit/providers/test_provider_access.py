"""Access to the providers: a refused API key is logged at the start and shown in ``/status``."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chat.catalogue import Model, Target
from chat.parameters import ProviderKind
from chat.providers.access_check import ProviderAccessChecks, ProviderAccessError
from parley_testing.http.scripted_server import RecordedRequest, Responder, ScriptedServer
from parley_testing.stacks.commands import free_ports
from parley_testing.telemetry.captured_logs import captured_logs

KEY = "sk-canary"


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(answer(200))
    await server.start()
    yield server
    await server.stop()


def answer(status: int) -> Responder:
    async def respond(_: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status)

    return respond


def checks(url: str, key: str | None = KEY, kind: ProviderKind = "compatible") -> ProviderAccessChecks:
    model = Model("default", "m", "m", "p", Target(f"{url}/v1", key, kind), 1000, 100)
    return ProviderAccessChecks([model, replace(model, alias="same")])


async def test_an_accepted_key_is_fine(provider: ScriptedServer) -> None:
    found = checks(provider.url)
    await found.ping()
    (request,) = provider.journal
    assert (request.target, request.header("authorization")) == ("/v1/models", f"Bearer {KEY}")


async def test_a_server_of_anthropic_is_asked_with_its_own_headers(provider: ScriptedServer) -> None:
    await checks(provider.url, kind="anthropic").ping()
    (request,) = provider.journal
    assert (request.header("x-api-key"), request.header("anthropic-version")) == (KEY, "2023-06-01")
    assert not request.header("authorization")


async def test_a_server_without_a_list_of_models_counts_as_reachable(provider: ScriptedServer) -> None:
    provider.answer = answer(404)
    await checks(provider.url, None).ping()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_logged_without_the_key_and_fails_the_ping(
    provider: ScriptedServer, status: int
) -> None:
    provider.answer = answer(status)
    found = checks(provider.url)
    with captured_logs() as logs:
        await found.report_refusals()
    assert [entry["event"] for entry in logs] == ["provider_key_refused"]
    assert KEY not in str(logs)
    with pytest.raises(ProviderAccessError) as error:
        await found.ping()
    assert error.value.status_detail == "the API key is refused"


async def test_an_unreachable_provider_fails_the_ping() -> None:
    with pytest.raises(ProviderAccessError, match="unreachable"):
        await checks(f"http://127.0.0.1:{free_ports()}").ping()


async def test_the_status_does_not_call_a_provider_each_time(provider: ScriptedServer) -> None:
    found = checks(provider.url)
    await asyncio.gather(found.ping(), found.ping())
    await found.ping()
    assert len(provider.journal) == 1
