"""Debian packages, with a fake apt-get."""

import asyncio
from pathlib import Path

import pytest

from parley_embedded.binaries.debian import library_folders, unpack_debian
from parley_embedded.errors import EmbeddedError
from parley_embedded.rabbitmq.install import make_relocatable

HINT = "Set AMQP_URL."
APT = """#!/bin/sh
CALLS="${0%/*}/../calls"
case "$*" in
  *' update') echo update >> "$CALLS";;
  *--simulate*) echo 'Inst libmissing (1.0 Debian)';;
  *' download '*) echo "$*" >> "$CALLS"; touch tool_1.deb;;
esac
"""
APT_OFFLINE = """#!/bin/sh
case "$*" in *' download '*) echo 'E: Unable to locate package tool'; exit 100;; esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin" "$3/usr/lib/x86_64-linux-gnu"; echo tool > "$3/usr/bin/tool"
"""


@pytest.fixture
def fake_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "programs"
    programs.mkdir()
    write_program(programs / "apt-get", APT)
    write_program(programs / "dpkg-deb", DPKG)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return programs


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


async def test_packages_and_the_libraries_the_system_lacks_are_unpacked(tmp_path: Path, fake_apt: Path) -> None:
    root = await unpack_debian("tool", ["tool"], tmp_path / "tools", hint=HINT)
    assert (root / "usr/bin/tool").read_text() == "tool\n"
    assert library_folders(root) == (root / "usr/lib/x86_64-linux-gnu",)
    assert "download libmissing tool" in (tmp_path / "calls").read_text()


def test_libraries_in_a_folder_of_one_package_are_found(tmp_path: Path) -> None:
    shared = tmp_path / "usr/lib/x86_64-linux-gnu"
    for name in ("libpulse.so.0", "pulseaudio/libpulsecommon-16.1.so", "gconv/UTF-16.so"):
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).touch()
    assert library_folders(tmp_path) == (shared, shared / "pulseaudio")


async def test_unpacked_packages_are_reused_without_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tool").mkdir()
    monkeypatch.setenv("PATH", "/nowhere")
    assert await unpack_debian("tool", ["tool"], tmp_path, hint=HINT) == tmp_path / "tool"


async def test_concurrent_calls_download_once(tmp_path: Path, fake_apt: Path) -> None:
    tools = tmp_path / "tools"
    first, second = await asyncio.gather(*(unpack_debian("tool", ["tool"], tools, hint=HINT) for _ in range(2)))
    assert first == second
    assert (tmp_path / "calls").read_text().splitlines().count("update") == 1


async def test_a_failed_download_is_explained_and_leaves_no_files(tmp_path: Path, fake_apt: Path) -> None:
    write_program(fake_apt / "apt-get", APT_OFFLINE)
    with pytest.raises(EmbeddedError, match=r"E: Unable to locate package tool\. Set AMQP_URL\.$"):
        await unpack_debian("tool", ["tool"], tmp_path / "tools", hint=HINT)
    assert [path.name for path in (tmp_path / "tools").iterdir()] == ["tool.lock"]


async def test_a_system_without_apt_is_reported_with_the_alternative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EmbeddedError, match=r"apt-get is missing\. Set AMQP_URL\.$"):
        await unpack_debian("tool", ["tool"], tmp_path, hint=HINT)


def test_erl_finds_erlang_in_the_unpacked_folder(tmp_path: Path) -> None:
    script = tmp_path / "usr/lib/erlang/bin/erl"
    script.parent.mkdir(parents=True)
    script.write_text("ROOTDIR=/usr/lib/erlang\n")
    make_relocatable(tmp_path)
    assert script.read_text() == 'ROOTDIR="$PARLEY_ERL_ROOT"\n'
