"""The command as a process: start, stop, kill and restart."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from fake_provider.knobs import Knobs
from fake_provider.main import build_parser, main
from fake_provider.process import FakeProvider


async def answer_of(provider: FakeProvider, message: str = "hi") -> str:
    body = {"model": "fake", "messages": [{"role": "user", "content": message}]}
    async with httpx2.AsyncClient(base_url=provider.base_url) as client:
        content: str = (await client.post("/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
        return content


async def test_flags_set_the_initial_knobs() -> None:
    async with FakeProvider("--tokens", "2", "--model", "a", "b") as provider:
        assert await answer_of(provider) == "t1 t2"


async def test_a_restarted_provider_keeps_its_port_and_has_an_empty_journal(own_provider: FakeProvider) -> None:
    await answer_of(own_provider)
    url = own_provider.url
    await own_provider.kill()
    with pytest.raises(ConnectionRefusedError):
        await own_provider.journal()
    await own_provider.restart()
    assert own_provider.url == url
    assert await own_provider.journal() == []


async def test_a_frozen_provider_answers_again_after_the_thaw(own_provider: FakeProvider) -> None:
    own_provider.freeze()
    waiting = asyncio.create_task(answer_of(own_provider))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.1)
    own_provider.thaw()
    assert (await waiting).startswith("t1 ")


@pytest.mark.parametrize("end", [lambda child: child.send_signal(signal.SIGTERM), lambda child: child.stdin.close()])
async def test_sigterm_ends_an_endless_stream_at_once(end: Callable[[asyncio.subprocess.Process], None]) -> None:
    async with FakeProvider() as provider, httpx2.AsyncClient(base_url=provider.base_url) as client:
        body = {"model": "fake?stall_after=1", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        async with client.stream("POST", "/chat/completions", json=body) as response:
            await anext(response.aiter_bytes())
            end(provider.process)
            assert await asyncio.wait_for(provider.process.wait(), 10) == 0


def test_it_serves_a_given_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "fake_provider.main", "--fd", str(listener.fileno())]
        with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[listener.fileno()], text=True) as child:
            assert child.stdout is not None
            port = listener.getsockname()[1]
            assert child.stdout.readline() == f"listening on http://127.0.0.1:{port}\n"
            assert httpx2.get(f"http://127.0.0.1:{port}/v1/models").status_code == 200
            child.terminate()


def test_the_environment_sets_defaults() -> None:
    parser = build_parser({"FAKE_PROVIDER_PORT": "9", "FAKE_PROVIDER_RATE": "20"})
    assert (parser.parse_args([]).port, parser.parse_args([]).knob_rate) == (9, "20")
    assert parser.parse_args(["--rate", "5", "--endless"]).knob_rate == "5"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens", "-1"], "knob 'tokens': Input should be greater than or equal to 0"),
        (["--port", "70000"], "'70000' is not a whole number up to 65535"),
        (["--host", "256.0.0.1"], "cannot listen on 256.0.0.1"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


async def test_a_child_that_cannot_start_is_reported(own_provider: FakeProvider) -> None:
    taken = FakeProvider(port=int(own_provider.url.rpartition(":")[2]))
    with pytest.raises(RuntimeError, match="did not start"):
        await taken.start()


def test_every_knob_is_documented_in_the_readme() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in Knobs.model_fields if f"`{name}`" not in text] == []
