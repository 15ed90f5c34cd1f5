"""Downloads of files: ranges, and the archive of all files of a user, on in-memory stores."""

import io
import json
import tarfile
from uuid import UUID

import pytest

from chat.files.model import object_key
from chat.files.service import FileService
from chat_testing.files import png
from chat_testing.files_bench import FilesBench
from parley.ids import new_id


@pytest.mark.parametrize(
    ("headers", "status", "content", "content_range"),
    [
        ({}, 200, b"0123456789", None),
        ({"Range": "bytes=2-4"}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=7-"}, 206, b"789", "bytes 7-9/10"),
        ({"Range": "bytes=-2"}, 206, b"89", "bytes 8-9/10"),
        ({"Range": "bytes=-99"}, 206, b"0123456789", "bytes 0-9/10"),
        ({"Range": "bytes=8-99"}, 206, b"89", "bytes 8-9/10"),
        ({"Range": "bytes=2-4", "If-Range": "ETAG"}, 206, b"234", "bytes 2-4/10"),
        ({"Range": "bytes=2-4", "If-Range": '"other"'}, 200, b"0123456789", None),
        ({"Range": "bytes=10-"}, 416, None, "bytes */10"),
        ({"Range": "bytes=-0"}, 416, None, "bytes */10"),
        ({"Range": "bytes=0-1,4-5"}, 200, b"0123456789", None),
        ({"Range": "bytes=4-2"}, 200, b"0123456789", None),
        ({"Range": "lines=1-2"}, 200, b"0123456789", None),
        ({"Range": f"bytes={'9' * 30}-"}, 200, b"0123456789", None),
    ],
)
async def test_a_download_returns_the_range_that_it_asks_for(
    bench: FilesBench, headers: dict[str, str], status: int, content: bytes | None, content_range: str | None
) -> None:
    file = (await bench.upload(b"0123456789")).json()
    etag = f'"{file["sha256"]}"'
    headers = {name: value.replace("ETAG", etag) for name, value in headers.items()}
    for path in (f"/api/v1/files/{file['id']}/content", f"/v1/files/{file['id']}/content"):
        found = await bench.send("GET", path, headers=headers)
        assert (found.status_code, found.headers.get("content-range")) == (status, content_range)
        if content is None:
            continue
        assert (found.content, found.headers["content-length"]) == (content, str(len(content)))
        assert (found.headers["etag"], found.headers["accept-ranges"]) == (etag, "bytes")
        assert found.headers["content-disposition"].startswith("attachment")
        head = await bench.send("HEAD", path, headers=headers)
        assert (head.status_code, head.content) == (status, b"")
        own = ("content-length", "content-range", "content-disposition", "content-security-policy", "etag")
        assert [head.headers.get(name) for name in own] == [found.headers.get(name) for name in own]


async def test_a_client_that_has_the_file_gets_no_bytes_again(bench: FilesBench) -> None:
    file = (await bench.upload(b"0123456789")).json()
    etag = f'"{file["sha256"]}"'
    for path in (f"/api/v1/files/{file['id']}/content", f"/v1/files/{file['id']}/content"):
        for method, given in (("GET", etag), ("GET", f'"other", {etag}'), ("HEAD", etag)):
            known = await bench.send(method, path, headers={"If-None-Match": given, "Range": "bytes=2-4"})
            assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
            assert known.headers["cache-control"] == "private, no-store"
        other = await bench.send("GET", path, headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.content) == (200, b"0123456789")


async def test_a_file_that_is_deleted_while_its_archive_is_read_is_not_part_of_it(bench: FilesBench) -> None:
    deleted, kept = [await bench.uploaded(text) for text in (b"Secret", b"Kept")]
    archive = FileService(bench.rows, bench.objects).archive(bench.user_id)
    sent = await anext(archive)
    bench.objects.unavailable = True  # the object is left to the collector
    assert (await bench.send("DELETE", f"/api/v1/files/{deleted}")).status_code == 204
    bench.objects.unavailable = False
    sent += b"".join([part async for part in archive])
    with tarfile.open(fileobj=io.BytesIO(sent)) as found:
        assert found.getnames() == [f"{kept}/plan.txt", "files.json"]
    assert b"Secret" not in sent


async def test_an_archive_has_every_file_of_the_user_alone(bench: FilesBench) -> None:
    text = (await bench.upload(b"Hello", "Plan \u00fc.txt")).json()
    image = (await bench.upload(png(), "a.png")).json()
    gone = (await bench.upload(b"gone", "b.txt")).json()
    del bench.objects.objects[object_key(UUID(gone["id"]))]
    await bench.send("POST", "/api/v1/files", user=new_id(), files={"file": ("b.txt", b"secret")})
    found = await bench.send("GET", "/api/v1/files/archive")
    assert (found.status_code, found.headers["content-type"]) == (200, "application/x-tar")
    assert found.headers["content-disposition"].startswith('attachment; filename="parley-files.tar"')
    with tarfile.open(fileobj=io.BytesIO(found.content)) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    listed = json.loads(contents.pop("files.json"))["files"]
    assert contents == {f"{text['id']}/Plan \u00fc.txt": b"Hello", f"{image['id']}/a.png": png()}
    assert [one["filename"] for one in listed] == ["a.png", "Plan \u00fc.txt"]
    assert [(one["id"], one["sha256"], one["bytes"]) for one in listed] == [
        (one["id"], one["sha256"], one["bytes"]) for one in (image, text)
    ]


@pytest.mark.parametrize(
    "name", ["\U0001f600" * 250 + ".txt", "\u00e9" * 255, "a" * 251 + ".txt", "." + "\u6587" * 254]
)
async def test_a_file_system_can_have_every_name_of_an_archive(bench: FilesBench, name: str) -> None:
    file = (await bench.upload(b"Hello", name)).json()
    found = await bench.send("GET", "/api/v1/files/archive")
    with tarfile.open(fileobj=io.BytesIO(found.content)) as archive:
        member, _ = archive.getnames()
    folder, _, cut = member.partition("/")
    assert folder == file["id"]
    assert len(cut.encode()) <= 255
    assert name.startswith(cut.removesuffix(".txt"))
    assert cut.endswith(".txt") == name.endswith(".txt")
