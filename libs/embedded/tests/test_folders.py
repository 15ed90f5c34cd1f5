"""Socket folders, secret files, tools folder and wheels."""

import stat
import sys
from pathlib import Path

import pytest

from parley_embedded.base_server import make_private
from parley_embedded.binaries.tools_folder import tools_folder, workspace_root
from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.secret_files import read_or_create_secret
from parley_embedded.sockets import MAX_SOCKET_PATH_BYTES, SocketFolder, accepts_connections, free_port


def deep(folder: Path) -> Path:
    path = folder / ("long" * 30)
    path.mkdir()
    return path


def test_a_socket_is_inside_the_home_folder_if_its_path_is_short(short_folder: Path) -> None:
    folder = SocketFolder(short_folder, "s")
    assert folder.open() == short_folder / "run"
    folder.close()
    assert not folder.path.exists()


def test_a_socket_of_a_deep_home_folder_gets_a_short_private_folder(tmp_path: Path) -> None:
    folder = SocketFolder(deep(tmp_path), "server.sock")
    path = folder.open()
    assert len(str(path / "server.sock")) <= MAX_SOCKET_PATH_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    folder.close()
    assert not path.exists()


def test_the_short_folder_of_a_crashed_run_is_reused(tmp_path: Path) -> None:
    home = deep(tmp_path)
    crashed = SocketFolder(home, "server.sock").open()
    again = SocketFolder(home, "server.sock")
    assert again.open() == crashed
    again.close()
    assert not crashed.exists()


@pytest.mark.parametrize("content", [b"", bytes(range(128, 256)), b"/tmp/\0", b"PRECIOUS", b"PRECIOUS/../parley-x"])
def test_a_damaged_name_of_a_socket_folder_is_ignored_and_nothing_else_is_deleted(
    tmp_path: Path, content: bytes
) -> None:
    precious = tmp_path / "parley-0123456789ab"
    precious.mkdir()
    home = deep(tmp_path)
    (home / "socket-folder").write_bytes(content.replace(b"PRECIOUS", bytes(precious)))
    folder = SocketFolder(home, "server.sock")
    assert folder.open() != precious
    folder.close()
    assert precious.exists()


def test_a_socket_folder_that_others_can_enter_is_rejected(tmp_path: Path) -> None:
    folder = SocketFolder(deep(tmp_path), "server.sock")
    folder.open().chmod(0o755)
    with pytest.raises(EmbeddedError, match="is not private"):
        folder.open()
    folder.close()


async def test_nothing_listens_on_a_free_port() -> None:
    assert not await accepts_connections(free_port())


def test_a_secret_stays_the_same_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = read_or_create_secret(path)
    assert read_or_create_secret(path) == secret
    assert len(secret) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_secret_file_of_a_crashed_run_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch()
    assert read_or_create_secret(path)


def test_tools_are_kept_in_the_clone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.uv.workspace]\n")
    inside = tmp_path / "libs" / "x"
    inside.mkdir(parents=True)
    assert workspace_root(inside) == tmp_path
    assert tools_folder(inside, {}) == tmp_path / ".tools"


def test_tools_are_kept_in_the_configured_folder(tmp_path: Path) -> None:
    assert tools_folder(tmp_path, {"PARLEY_TOOLS": "/elsewhere"}) == Path("/elsewhere")


def test_finding_the_tools_folder_creates_no_folder(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.uv.workspace]\n")
    assert not tools_folder(tmp_path, {}).exists()


def test_an_unusable_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        EmbeddedError, match=r"Cannot use .*file/data: Not a directory\. Another kind of file has that name"
    ):
        make_private(tmp_path / "file" / "data")


def test_tools_are_kept_in_the_cache_outside_a_clone(tmp_path: Path) -> None:
    assert tools_folder(tmp_path, {"HOME": str(tmp_path)}) == tmp_path / ".cache" / "parley"


def test_a_file_of_a_wheel_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explosive").mkdir()
    (tmp_path / "explosive" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "explosive" / "program").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert wheel_file("explosive", "program") == tmp_path / "explosive" / "program"
    assert wheel_file("explosive", "absent") is None
    assert wheel_file("no_such_package", "program") is None
    assert "explosive" not in sys.modules
