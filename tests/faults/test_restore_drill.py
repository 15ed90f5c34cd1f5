"""Drill: a backup under load, everything deleted, a restore; nothing that the backup has is lost, and clients go on."""

import asyncio
import re
import shutil
from pathlib import Path

import httpx2
import pytest

from fake_provider.process import FakeProvider
from parley_testing import eventually
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.commands import run_parley
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]
USERS = 16
COMMAND_SECONDS = 600
VERIFIED = re.compile(r"(\d+) turns compared, (\d+) wrong")


class TurnLoad:
    """Users who take turns, one after the other, until they are told to stop."""

    def __init__(self, users: list[UserClient]) -> None:
        self.users, self.answered, self.stopping = users, 0, False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for user in self.users:
                group.create_task(self._take_turns(user))

    async def _take_turns(self, user: UserClient) -> None:
        while not self.stopping:
            await user.renew()
            answer = await user.chat("a question about 中文 and \\ and tabs\t [[fake tokens=4]]")
            assert answer["status"] == "completed", answer
            self.answered += 1

    async def reaches(self, turns: int) -> None:
        while self.answered < turns:
            await asyncio.sleep(0.05)


async def parley(folder: Path, *arguments: str) -> tuple[int, str]:
    return await run_parley(*arguments, seconds=COMMAND_SECONDS, folder=folder)


async def verify(stack: EmbeddedStack) -> tuple[int, int, int]:
    """Return the exit status, the number of compared turns and that of wrong ones."""
    settings = stack.settings_of("chat")
    status, output = await run_parley(
        "verify", "--settle", "0", settings=settings, seconds=COMMAND_SECONDS, folder=stack.folder
    )
    found = VERIFIED.search(output)
    assert found, output
    return status, int(found[1]), int(found[2])


@pytest.mark.parametrize("turns", [200, 10_000])
async def test_a_deleted_server_is_restored_from_a_backup_under_load(
    turns: int, provider: FakeProvider, high_limits: dict[str, str], tmp_path: Path
) -> None:
    archive, passphrase = tmp_path / "drill.backup", tmp_path / "passphrase"
    passphrase.write_text("only for this drill")
    stack = EmbeddedStack(tmp_path, provider.base_url, high_limits)
    data = ("--data-dir", str(tmp_path / "data"), "--passphrase-file", str(passphrase))
    async with stack, open_http(stack.url) as http:
        users = [await register(http) for _ in range(USERS)]
        load = TurnLoad(users)
        running = asyncio.create_task(load.run())
        await load.reaches(turns)
        for user in users:
            await user.log_in()
        before = load.answered
        status, output = await parley(tmp_path, "backup", str(archive), *data)
        assert status == 0, output
        during = load.answered - before
        load.stopping = True
        await running
        assert during > 0

    shutil.rmtree(tmp_path / "data")
    status, output = await parley(tmp_path, "restore", str(archive), *data)
    assert status == 0, output
    async with stack, open_http(stack.url) as http:

        async def is_complete() -> bool:
            status, compared, wrong = await verify(stack)
            return (status, wrong) == (0, 0) and compared >= before

        await eventually(is_complete, within=120)
        for user in users:
            user.http = http
            listed = await user.request("GET", "/api/v1/conversations")
            assert listed.status_code == httpx2.codes.OK, listed.text
            form = {"grant_type": "refresh_token", "refresh_token": user.tokens["refresh_token"]}
            refreshed = await http.post("/api/v1/auth/token", data=form)
            assert refreshed.status_code == httpx2.codes.OK, refreshed.text
            user.tokens = refreshed.json()
            assert (await user.chat("after the restore [[fake tokens=1]]"))["status"] == "completed"
    print(f"{before} turns answered before the backup, {during} during it; {archive.stat().st_size} bytes")
