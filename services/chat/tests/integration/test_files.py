"""Files in Postgres and a folder: quotas under concurrency, erasure, killed uploads, memory."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.files.collector import FileCollector
from chat.files.model import object_key, text_key
from chat.files.text_frame import framed
from chat.storage.object_storage import ObjectStorage
from chat.storage.postgres_files import PostgresFileRows
from chat_testing.files import png
from chat_testing.pdfs import pdf
from chat_testing.process import SpawnChat
from chat_testing.replica import ChatReplica, NewDatabase, OpenReplica
from chat_testing.users import ChatUser
from fake_provider.process import FakeProvider
from parley import times
from parley.ids import new_id
from parley.storage.database import PostgresDatabase
from parley.storage.postgres import open_pool
from parley_events.cloudevents import CloudEvent
from parley_events.models import UserErased
from parley_testing.faults.processes import peak_bytes, reset_peak

pytestmark = pytest.mark.integration

MIB = 1_048_576
UPLOAD_SIZE = 50 * MIB
MAX_ADDED = 5 * MIB
"""Bytes by which a file may raise the peak of the process's memory."""


class FilesReplica:
    """A chat service whose plan allows 1,000 bytes of files, and its folder."""

    def __init__(self, replica: ChatReplica, folder: Path) -> None:
        self.replica, self.folder = replica, folder
        self.rows = PostgresFileRows(PostgresDatabase(replica.pool))
        self.collector = FileCollector(self.rows, ObjectStorage(folder.as_uri()))

    def objects(self) -> list[str]:
        return [path.name for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
async def files(
    open_replica: OpenReplica, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FilesReplica]:
    folder = tmp_path_factory.mktemp("files")
    plans = folder / "plans.yaml"
    plans.write_text("default: {storage_bytes: 1000, file_count: 5}")
    models = folder / "models.yaml"
    models.write_text("models: {default: {provider_model: fake, capabilities: [stream, vision]}}")
    url = (folder / "objects").as_uri()
    async with open_replica(await new_database(), plans_file=plans, models_file=models, files_url=url) as replica:
        yield FilesReplica(replica, folder / "objects")


async def upload(user: ChatUser, content: bytes) -> int:
    return (await user.request("POST", "/api/v1/files", files={"file": ("a.txt", content)})).status_code


async def test_uploads_at_once_never_exceed_the_plan(files: FilesReplica) -> None:
    user = ChatUser(files.replica, new_id())
    statuses = await asyncio.gather(*(upload(user, b"x" * 600) for _ in range(2)))
    assert sorted(statuses) == [201, 429]
    small = ChatUser(files.replica, new_id())
    statuses = [status for _ in range(4) for status in await asyncio.gather(*(upload(small, b"x") for _ in range(2)))]
    assert (statuses.count(201), set(statuses)) == (5, {201, 429})
    stored = await files.rows.page(small.id, None, 100)
    assert [file.size for file in stored] == [1] * 5
    assert [file.id for file in await files.rows.page(small.id, stored[1].id, 2)] == [one.id for one in stored[2:4]]
    assert len(await files.rows.page(small.id, None, 100, purpose=stored[0].purpose)) == len(stored)
    assert await files.rows.page(small.id, None, 100, purpose="fine-tune") == []


async def test_an_expired_file_is_gone_and_frees_its_room(files: FilesReplica) -> None:
    user, expiry = ChatUser(files.replica, new_id()), {"anchor": "created_at", "seconds": "3600"}
    fields = {f"expires_after[{name}]": value for name, value in expiry.items()}
    made = await user.request("POST", "/api/v1/files", files={"file": ("a.txt", b"x" * 900)}, data=fields)
    assert made.status_code == 201, made.text
    (file,) = await files.rows.page(user.id, None, 10)
    assert file.expires_at is not None
    assert (file.expires_at - file.created_at).total_seconds() == 3600
    await files.collector.delete_expired()
    assert await files.rows.find(user.id, [file.id]) == [file]
    await files.replica.pool.execute("UPDATE files SET expires_at = now() WHERE id = $1", file.id)
    assert await files.rows.find(user.id, [file.id]) == await files.rows.page(user.id, None, 10) == []
    assert not await files.rows.delete(user.id, file.id)
    assert await upload(user, b"x" * 900) == 201
    assert str(file.id) in files.objects()
    await files.collector.delete_expired()
    await files.collector.remove_deleted()
    assert str(file.id) not in files.objects()
    assert await files.rows.unknown([file.id]) == {file.id}
    assert len(await files.rows.page(user.id, None, 10)) == 1


async def test_the_provider_gets_the_data_of_an_uploaded_image(files: FilesReplica, provider: FakeProvider) -> None:
    user, image = ChatUser(files.replica, new_id()), png(rest=new_id().bytes)
    made = await user.request("POST", "/api/v1/files", files={"file": ("a.png", image)})
    message = f"canary-{new_id()}"
    answer = await user.chat(message, files=[made.json()["id"]])
    assert answer.status_code == 200, answer.text
    await user.chat("And now?", conversation_id=answer.json()["conversation_id"])
    shown = {"url": f"data:image/png;base64,{base64.b64encode(image).decode()}", "detail": "auto"}
    calls = [call["request"]["messages"][0]["content"] for call in await provider.journal(contains=message)]
    assert calls == [[{"type": "text", "text": message}, {"type": "image_url", "image_url": shown}]] * 2


async def test_the_provider_gets_the_text_of_a_pdf_which_is_erased_with_it(
    files: FilesReplica, provider: FakeProvider
) -> None:
    user = ChatUser(files.replica, new_id())
    made = await user.request("POST", "/api/v1/files", files={"file": ("plan.pdf", pdf("The plan."))})
    message = f"canary-{new_id()}"
    answer = await user.chat(message, files=[made.json()["id"]])
    assert answer.status_code == 200, answer.text
    (call,) = await provider.journal(contains=message)
    assert call["request"]["messages"][-1]["content"] == f"{message}\n\n{framed('plan.pdf', 'The plan.')}"
    (file,) = await files.rows.page(user.id, None, 10)
    assert (file.text_tokens, file.text_error) == (3, None)
    assert {str(file.id), f"{file.id}.txt"} <= set(files.objects())
    await files.collector.erase(user.id)
    assert not {str(file.id), f"{file.id}.txt"}.intersection(files.objects())
    assert not await files.rows.set_text(file.id, tokens=1, error=None)


async def test_an_erased_user_leaves_no_object(files: FilesReplica) -> None:
    user = ChatUser(files.replica, new_id())
    assert await upload(user, b"canary") == 201
    (file,) = await files.rows.page(user.id, None, 10)
    assert str(file.id) in files.objects()
    data = UserErased(user_id=user.id, erasure_id="erasure", at=times.now())
    event = CloudEvent(
        id=new_id(),
        source=data.source,
        name="user.erased",
        version=1,
        subject=str(user.id),
        time=times.now(),
        partition_key=str(user.id),
        sequence=1,
        data=data.model_dump_json().encode(),
    )
    await files.replica.bus.publish(event)
    assert str(file.id) not in files.objects()
    assert await files.replica.pool.fetchval("SELECT count(*) FROM files WHERE user_id = $1", user.id) == 0
    assert await upload(user, b"again") == 410


async def test_an_upload_whose_process_was_killed_is_collected(files: FilesReplica) -> None:
    user_id, killed, orphan = new_id(), new_id(), new_id()
    await files.replica.pool.execute(
        "INSERT INTO files (id, user_id, filename, size, created_at) "
        "VALUES ($1, $2, 'a', 1, now() - interval '3 hours')",
        killed,
        user_id,
    )
    for key in (object_key(killed), object_key(orphan), text_key(orphan)):
        place(files.folder, key)
    remains = files.folder / f"{object_key(orphan)}#1"
    remains.write_bytes(b"half")
    os.utime(remains, (0, 0))
    assert await files.rows.page(user_id, None, 10) == []
    await files.collector.remove_deleted()
    await files.collector.remove_orphans()
    assert not {str(killed), str(orphan), f"{orphan}.txt", remains.name}.intersection(files.objects())
    assert await files.rows.unknown([killed]) == {killed}


def place(folder: Path, key: str) -> None:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (0, 0))


@pytest.mark.chaos
async def test_of_many_tiny_files_a_plan_keeps_those_it_allows_and_an_erasure_removes_them(
    open_replica: OpenReplica, new_database: NewDatabase, tmp_path: Path
) -> None:
    plans = tmp_path / "plans.yaml"
    plans.write_text("default: {file_count: 100}")
    url = (tmp_path / "objects").as_uri()
    async with open_replica(await new_database(), plans_file=plans, files_url=url) as replica:
        files, user = FilesReplica(replica, tmp_path / "objects"), ChatUser(replica, new_id())

        async def send(number: int) -> list[int]:
            return [await upload(user, b"%d" % number) for _ in range(500)]

        statuses = [status for found in await asyncio.gather(send(1), send(2)) for status in found]
        assert (statuses.count(201), statuses.count(429)) == (100, 900)
        assert len(files.objects()) == 100
        other = ChatUser(replica, new_id())
        assert await upload(other, b"x") == 201
        await files.collector.erase(user.id)
        assert len(files.objects()) == 1


async def pieces(size: int) -> AsyncIterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    for _ in range(size // 65_536):
        yield b"0123456789abcdef" * 4096
    yield b"\r\n--b--\r\n"


@pytest.mark.chaos
async def test_an_upload_of_50_mib_needs_less_than_5_mib_of_memory(
    spawn: SpawnChat, new_database: NewDatabase, tmp_path: Path
) -> None:
    dsn = await new_database()
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(dsn, size=2))
        chat = await stack.enter_async_context(spawn(dsn, pool, FILES_URL=(tmp_path / "files").as_uri()))
        pid = chat.child.pid
        user = ChatUser(chat, new_id())
        headers = {"Content-Type": "multipart/form-data; boundary=b"}

        async def send(size: int) -> str:
            made = await user.request("POST", "/api/v1/files", content=pieces(size), headers=headers)
            assert made.status_code == 201, made.text
            return str(made.json()["id"])

        async def receive(file_id: str) -> int:
            url = f"/api/v1/files/{file_id}/content"
            async with user.client.stream("GET", url, headers=user.headers) as found:
                return sum([len(piece) async for piece in found.aiter_raw()])

        await receive(await send(MIB))
        reset_peak(pid)
        before = peak_bytes(pid)
        file_id = await send(UPLOAD_SIZE)
        assert await receive(file_id) == UPLOAD_SIZE
        added = peak_bytes(pid) - before
    assert added < MAX_ADDED, f"{added // 1024} KiB were added to the peak of {before // 1024} KiB"
