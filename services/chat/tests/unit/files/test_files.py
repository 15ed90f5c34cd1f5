"""Files: limits, hostile uploads, deletion and the collector, on in-memory stores."""

from typing import Any
from uuid import UUID

import pytest

from chat.files.model import StoredFile, object_key
from chat_testing.files import InMemoryFileRows
from chat_testing.files_bench import FilesBench
from parley.errors import DependencyUnavailable
from parley.ids import new_id


async def test_a_file_is_uploaded_listed_downloaded_and_deleted(bench: FilesBench) -> None:
    made = await bench.upload(b"Hello", "Plan \u00fc.txt", purpose="chat")
    assert made.status_code == 201, made.text
    file = made.json()
    assert (file["filename"], file["media_type"], file["bytes"]) == ("Plan \u00fc.txt", "text/plain", 5)
    assert made.headers["location"] == f"/api/v1/files/{file['id']}"
    assert (await bench.send("GET", "/api/v1/files")).json() == {"data": [file], "next_cursor": None}
    assert (await bench.send("GET", f"/api/v1/files/{file['id']}")).json() == file
    assert (await bench.send("GET", f"/api/v1/files/{file['id']}/content")).content == b"Hello"
    assert (await bench.send("DELETE", f"/api/v1/files/{file['id']}")).status_code == 204
    assert (await bench.send("DELETE", f"/api/v1/files/{file['id']}")).status_code == 404
    assert (bench.objects.objects, bench.rows.rows) == ({}, {})


async def test_openais_form_has_the_same_files(bench: FilesBench) -> None:
    file = (await bench.upload(b"Hello", path="/v1/files", purpose="user_data")).json()
    assert (file["object"], file["bytes"], file["purpose"], file["status"]) == ("file", 5, "user_data", "processed")
    second = (await bench.upload(b"More", path="/v1/files")).json()
    page = (await bench.send("GET", "/v1/files?limit=1")).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([second["id"]], True)
    rest = (await bench.send("GET", f"/v1/files?limit=1&after={page['last_id']}")).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([file["id"]], False)
    assert (await bench.send("GET", f"/v1/files/{file['id']}/content")).content == b"Hello"
    deleted = await bench.send("DELETE", f"/v1/files/{file['id']}")
    assert deleted.json() == {"id": file["id"], "object": "file", "deleted": True}
    assert (await bench.send("GET", f"/v1/files/{file['id']}")).json()["error"]["code"] == "file_not_found"
    refused = await bench.upload(b"x", path="/v1/files", purpose="fine-tune")
    assert refused.json()["error"]["param"] == "purpose"


async def test_openais_list_keeps_to_a_purpose_and_to_its_order(bench: FilesBench) -> None:
    first, _, last = [
        (await bench.upload(b"x", path="/v1/files", purpose=purpose)).json()["id"]
        for purpose in ("vision", "user_data", "vision")
    ]
    page = (await bench.send("GET", "/v1/files?purpose=vision&limit=1")).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([last], True)
    rest = (await bench.send("GET", f"/v1/files?purpose=vision&order=desc&after={last}")).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([first], False)
    assert (await bench.send("GET", "/v1/files?purpose=fine-tune")).json()["data"] == []
    refused = await bench.send("GET", "/v1/files?order=asc")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "order")


async def test_pages_of_files_follow_their_cursor(bench: FilesBench) -> None:
    made = [(await bench.upload(name.encode())).json()["id"] for name in "abc"]
    page = (await bench.send("GET", "/api/v1/files?limit=2")).json()
    rest = (await bench.send("GET", f"/api/v1/files?limit=2&cursor={page['next_cursor']}")).json()
    assert [file["id"] for file in (*page["data"], *rest["data"])] == made[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["", "x", "x" * 1000])
async def test_a_cursor_of_another_list_of_files_is_refused(bench: FilesBench, cursor: str) -> None:
    listed = await bench.send("GET", f"/api/v1/files?cursor={cursor}")
    assert (listed.status_code, listed.json()["code"]) == (400, "invalid_cursor")
    listed = await bench.send("GET", f"/v1/files?after={cursor}")
    assert (listed.status_code, listed.json()["error"]["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\fakepath\\a.png", "a.png"),
        ("..", "file"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("x" * 300, "x" * 255),
    ],
)
async def test_a_name_is_never_a_path(bench: FilesBench, given: str, kept: str) -> None:
    made = await bench.upload(b"x", given)
    assert made.json()["filename"] == kept
    (key,) = bench.objects.objects
    assert key.endswith(made.json()["id"])


async def test_the_file_of_another_person_is_like_an_unknown_one(bench: FilesBench) -> None:
    own = (await bench.upload(b"secret")).json()["id"]
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answers = [
            await bench.send(method, f"/api/v1/files/{file_id}{path}", user=new_id())
            for file_id in (own, new_id(), "no-id")
        ]
        bodies = [{**one.json(), "instance": "", "request_id": ""} for one in answers]
        assert bodies[0] == bodies[1] == bodies[2]
        assert bodies[0]["code"] == "file_not_found"
    assert (await bench.send("GET", "/api/v1/files", user=new_id())).json()["data"] == []


async def test_a_plan_limits_the_bytes_of_a_file_of_all_files_and_their_number(bench: FilesBench) -> None:
    too_long = await bench.upload(b"x" * 1001)
    assert (too_long.status_code, too_long.json()["code"]) == (413, "body_too_large")
    assert [(await bench.upload(b"x" * 900)).status_code for _ in range(2)] == [201, 201]
    full = await bench.upload(b"x" * 201)
    assert (full.status_code, full.json()["code"], full.headers["x-should-retry"]) == (429, "quota_exceeded", "false")
    assert [(await bench.upload(b"x")).status_code for _ in range(2)] == [201, 429]
    newest = (await bench.send("GET", "/api/v1/files?limit=1")).json()["data"][0]["id"]
    await bench.send("DELETE", f"/api/v1/files/{newest}")
    assert (await bench.upload(b"x")).status_code == 201


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> dict[str, Any]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return {
        "content": head + b"\r\n--b\r\n".join(parts) + b"\r\n" + end,
        "headers": {"Content-Type": "multipart/form-data; boundary=b"},
    }


@pytest.mark.parametrize(
    "request_",
    [
        form(b"half", end=b""),
        form(b""),
        form(b"x", b'Content-Disposition: form-data; name="file"; filename="b"\r\n\r\ny'),
        form(b"x", *([b'Content-Disposition: form-data; name="more"\r\n\r\ny'] * 8)),
        form(b"x", b'Content-Disposition: form-data; name="more"\r\n\r\n' + b"y" * 2000),
        form(b"x", b'Content-Disposition: form-data; name="purpose"\r\n\r\nother'),
        form(b"x", b"X: " + b"y" * 5000 + b"\r\n\r\ny"),
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"no boundary", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        {"content": b"--b--", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ],
)
async def test_half_and_malformed_uploads_leave_nothing(bench: FilesBench, request_: dict[str, Any]) -> None:
    refused = await bench.send("POST", "/api/v1/files", **request_)
    assert refused.status_code == 400, refused.text
    assert (bench.objects.objects, bench.rows.rows) == ({}, {})


async def test_a_body_that_is_no_form_is_refused_with_the_type_that_is(bench: FilesBench) -> None:
    refused = await bench.send("POST", "/api/v1/files", json={})
    assert (refused.status_code, refused.headers["accept-post"]) == (415, "multipart/form-data")


async def test_a_deletion_while_the_storage_is_away_is_finished_by_the_collector(bench: FilesBench) -> None:
    file = (await bench.upload(b"x")).json()
    bench.objects.unavailable = True
    assert (await bench.upload(b"y")).status_code == 503
    assert (await bench.send("DELETE", f"/api/v1/files/{file['id']}")).status_code == 204
    assert (await bench.send("GET", f"/api/v1/files/{file['id']}")).status_code == 404
    bench.objects.unavailable = False
    assert bench.objects.objects
    await bench.collector.remove_deleted()
    assert (bench.objects.objects, bench.rows.rows) == ({}, {})


class UnconfirmedRows(InMemoryFileRows):
    """Rows that lose their connection after the commit of a completion, and, if ``away``, stay out of reach."""

    away = False

    async def complete(self, *arguments: Any) -> StoredFile | None:
        await super().complete(*arguments)
        raise DependencyUnavailable

    async def abandon(self, file_id: UUID) -> None:
        if self.away:
            raise DependencyUnavailable
        await super().abandon(file_id)


@pytest.mark.parametrize("away", [False, True])
async def test_a_file_whose_completion_is_not_confirmed_is_whole_or_gone(*, away: bool) -> None:
    rows = UnconfirmedRows()
    rows.away = away
    bench = FilesBench(rows=rows)
    assert (await bench.upload(b"x")).status_code == 503
    listed = (await bench.send("GET", "/api/v1/files")).json()["data"]
    assert len(listed) == len(bench.objects.objects) == int(away)
    for file in listed:
        assert (await bench.send("GET", f"/api/v1/files/{file['id']}/content")).content == b"x"
    await bench.http.aclose()


async def test_objects_without_a_row_are_removed_and_others_stay(bench: FilesBench) -> None:
    file = (await bench.upload(b"x")).json()
    bench.objects.objects[object_key(new_id())] = b"orphan"
    await bench.collector.remove_orphans()
    assert [key.rpartition("/")[2] for key in bench.objects.objects] == [file["id"]]


async def test_of_several_replicas_one_lists_the_objects_within_a_day(bench: FilesBench) -> None:
    for left in (0, 1):
        bench.objects.objects[object_key(new_id())] = b"orphan"
        await bench.collector.remove_orphans_if_due()
        assert len(bench.objects.objects) == left


async def test_an_erasure_removes_the_files_of_the_user_alone_and_refuses_new_ones(bench: FilesBench) -> None:
    await bench.upload(b"x")
    other = await bench.send("POST", "/api/v1/files", user=new_id(), files={"file": ("b.txt", b"y")})
    await bench.collector.erase(bench.user_id)
    assert [key.rpartition("/")[2] for key in bench.objects.objects] == [other.json()["id"]]
    assert (await bench.upload(b"x")).json()["code"] == "erased"


async def test_a_file_whose_object_is_gone_is_not_found(bench: FilesBench) -> None:
    file = (await bench.upload(b"x")).json()
    bench.objects.objects.clear()
    found = await bench.send("GET", f"/api/v1/files/{file['id']}/content")
    assert (found.status_code, found.json()["code"]) == (404, "file_not_found")


async def test_without_a_place_for_files_the_routes_say_so() -> None:
    bench = FilesBench(offered=False)
    for method, path in (("GET", "/api/v1/files"), ("GET", f"/v1/files/{new_id()}"), ("POST", "/v1/files")):
        refused = await bench.send(method, path)
        assert refused.status_code == 404
        assert "FILES_URL" in refused.text
    await bench.http.aclose()
