"""Embedded Valkey or Redis: durability, access and choice of the program."""

import os
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from parley_embedded.errors import EmbeddedError
from parley_embedded.valkey.program import find_valkey
from parley_embedded.valkey.server import EmbeddedValkey

pytestmark = pytest.mark.integration


async def ask(url: str, *command: str) -> object:
    async with Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def fill(url: str) -> None:
    for number in range(100):
        await ask(url, "SET", f"key {number}", "x" * 100_000)


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_durable_server_keeps_its_data_after_a_kill(short_folder: Path, tcp: bool) -> None:
    async with EmbeddedValkey(short_folder / f"durable{tcp}", tcp=tcp) as server:
        url = server.url
        await ask(url, "SET", "key", "value")
        await server.kill()
        await server.start()
        assert server.url == url
        assert await ask(url, "GET", "key") == b"value"


async def test_a_server_that_is_not_durable_writes_nothing(short_folder: Path) -> None:
    async with EmbeddedValkey(short_folder / "volatile", durable=False) as server:
        await ask(server.url, "SET", "key", "value")
        assert not (server.data_dir / "appendonlydir").exists()
        await server.kill()
        await server.start()
        assert await ask(server.url, "GET", "key") is None


async def test_a_full_server_rejects_writes_instead_of_evicting(short_folder: Path) -> None:
    async with EmbeddedValkey(short_folder / "full", max_memory="3mb") as server:
        with pytest.raises(ResponseError, match="used memory > 'maxmemory'"):
            await fill(server.url)


async def test_a_client_without_the_password_is_rejected(short_folder: Path) -> None:
    async with EmbeddedValkey(short_folder / "locked", tcp=True, durable=False) as server:
        with pytest.raises(AuthenticationError):
            await ask(f"redis://127.0.0.1:{server.port}/0", "PING")


async def test_a_server_in_a_deep_folder_uses_a_short_socket_path(tmp_path: Path) -> None:
    async with EmbeddedValkey(tmp_path / ("deep" * 30), durable=False) as server:
        assert await ask(server.url, "PING")
        assert str(tmp_path) not in server.url


async def test_stop_leaves_neither_process_nor_socket(short_folder: Path) -> None:
    server = EmbeddedValkey(short_folder / "stopped-valkey")
    await server.start()
    url = server.url
    await server.stop()
    assert not server.running
    with pytest.raises((RedisError, OSError)):
        await ask(url, "PING")


async def test_a_port_in_use_is_reported_in_one_line(short_folder: Path) -> None:
    async with EmbeddedValkey(short_folder / "first", tcp=True, durable=False) as first:
        second = EmbeddedValkey(short_folder / "second", tcp=True, port=first.port, durable=False)
        with pytest.raises(EmbeddedError, match=r"Valkey ended during its start .*[Aa]ddress.* in use") as caught:
            await second.start()
    assert "\n" not in str(caught.value)


def test_an_installed_server_is_preferred(tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.touch(mode=0o755)
    assert find_valkey(search_path=str(tmp_path)) == program


def test_the_wheel_serves_where_no_server_is_installed(tmp_path: Path) -> None:
    assert find_valkey(search_path=str(tmp_path)).is_file()


async def test_a_relative_data_folder_works(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(short_folder)
    async with EmbeddedValkey(Path("relative"), durable=False) as server:
        monkeypatch.chdir(os.path.sep)
        assert await ask(server.url, "PING")
