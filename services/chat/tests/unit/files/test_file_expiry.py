"""Files that expire: what an upload may say, what is shown, and their deletion."""

from datetime import datetime, timedelta

import pytest

from chat.files.upload_fields import MAX_LIFETIME, MIN_LIFETIME
from chat_testing.files_bench import FilesBench

HOUR = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}


async def test_a_file_shows_when_it_expires_in_both_forms(bench: FilesBench) -> None:
    made = (await bench.upload(b"x", path="/v1/files", purpose="user_data", **HOUR)).json()
    assert made["expires_at"] - made["created_at"] == 3600
    assert (await bench.send("GET", f"/v1/files/{made['id']}")).json() == made
    own = (await bench.upload(b"x", **HOUR)).json()
    created, expires = (datetime.fromisoformat(own[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(hours=1)
    assert (await bench.upload(b"x")).json()["expires_at"] is None


async def test_fields_before_and_after_the_file_are_the_same(bench: FilesBench) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n'
    fields = b"".join(head % (name.encode(), value.encode()) for name, value in HOUR.items())
    for content in (fields + file, file + fields):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        made = await bench.send("POST", "/v1/files", content=content + b"--b--\r\n", headers=headers)
        assert made.json()["expires_at"] == made.json()["created_at"] + 3600


async def test_an_expired_file_is_deleted(bench: FilesBench) -> None:
    made = (await bench.upload(b"x", path="/v1/files", purpose="user_data", **HOUR)).json()
    kept = (await bench.upload(b"y", path="/v1/files", purpose="user_data")).json()
    await bench.collector.delete_expired()
    assert (await bench.send("GET", f"/v1/files/{made['id']}")).status_code == 200
    bench.rows.age(3600)
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        gone = await bench.send(method, f"/v1/files/{made['id']}{path}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "file_not_found")
    assert [each["id"] for each in (await bench.send("GET", "/v1/files")).json()["data"]] == [kept["id"]]
    await bench.collector.delete_expired()
    await bench.collector.remove_deleted()
    assert list(bench.objects.objects.values()) == [b"y"]


@pytest.mark.parametrize("seconds", [MIN_LIFETIME, MAX_LIFETIME])
async def test_a_file_lives_for_an_hour_to_thirty_days(bench: FilesBench, seconds: int) -> None:
    fields = HOUR | {"expires_after[seconds]": str(seconds)}
    made = (await bench.upload(b"x", path="/v1/files", purpose="user_data", **fields)).json()
    assert made["expires_at"] - made["created_at"] == seconds


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds", "required"),
        ({"expires_after[seconds]": "3600"}, "expires_after.anchor", "required"),
        (HOUR | {"expires_after[anchor]": "last_active_at"}, "expires_after.anchor", "unsupported"),
        (HOUR | {"expires_after[seconds]": str(MIN_LIFETIME - 1)}, "expires_after.seconds", "out_of_range"),
        (HOUR | {"expires_after[seconds]": str(MAX_LIFETIME + 1)}, "expires_after.seconds", "out_of_range"),
        (HOUR | {"expires_after[seconds]": "9" * 500}, "expires_after.seconds", "out_of_range"),
        (HOUR | {"expires_after[seconds]": "-3600"}, "expires_after.seconds", "out_of_range"),
        (HOUR | {"expires_after[seconds]": "3600.5"}, "expires_after.seconds", "out_of_range"),
        (HOUR | {"expires_after[days]": "1"}, "expires_after", "unsupported_parameter"),
        ({"expires_after": '{"anchor":"created_at","seconds":3600}'}, "expires_after", "unsupported_parameter"),
    ],
)
async def test_another_expiry_is_refused_and_leaves_nothing(
    bench: FilesBench, fields: dict[str, str], param: str, code: str
) -> None:
    refused = await bench.upload(b"x", path="/v1/files", purpose="user_data", **fields)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    own = await bench.upload(b"x", **fields)
    assert [each["code"] for each in own.json()["errors"]] == [code]
    assert (bench.objects.objects, bench.rows.rows) == ({}, {})
