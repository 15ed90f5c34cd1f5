"""Types of files and sizes of images: what the content of an upload decides, on in-memory stores."""

import contextlib

import pytest

from chat.files.image_size import image_size
from chat.files.media_types import MediaTypeDetector
from chat_testing.files import png
from chat_testing.files_bench import FilesBench
from parley.errors import InvalidRequest

GIF = b"GIF89a\x02\x00\x02\x00\x00\x00\x00"
JPEG_HEAD = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
JPEG_FRAME = b"\xff\xc0\x00\x11\x08\x00\x02\x00\x02\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (png(), "image/png"),
        (GIF, "image/gif"),
        (JPEG_HEAD + JPEG_FRAME, "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f\x01\x40\x00\x00", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\x02\x00\x02\x00", "image/webp"),
        (b"%PDF-1.7\n%\xe2\xe3\n", "application/pdf"),
        ("caf\u00e9".encode(), "text/plain"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "text/plain"),
        (GIF + b"/*<script>alert(1)</script>*/", "image/gif"),
    ],
)
async def test_the_content_decides_the_type_and_a_browser_runs_nothing_of_it(
    bench: FilesBench, content: bytes, media_type: str
) -> None:
    made = await bench.upload(content, "page.html")
    assert made.json().get("media_type") == media_type, made.text
    found = await bench.send("GET", f"/api/v1/files/{made.json()['id']}/content")
    assert found.headers["content-type"].partition(";")[0] == media_type
    assert found.headers["content-disposition"].startswith('attachment; filename="page.html"')
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04zip",
        b"MZ\x90\x00",
        "text".encode("utf-16"),
        b"text\x00",
        b"plain" * 20 + b"\xff",
        b"cut \xc3",
        b"\x1f\x8bgzip" + bytes(40),
    ],
)
async def test_content_of_another_type_is_refused_whatever_its_name(bench: FilesBench, content: bytes) -> None:
    refused = await bench.upload(content, "image.png")
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert (bench.objects.objects, bench.rows.rows) == ({}, {})


@pytest.mark.parametrize(
    "content",
    [
        png(60_000, 60_000),
        png(20_000, 1),
        png(0, 5),
        b"\x89PNG\r\n\x1a\n" + b"x" * 40,
        JPEG_HEAD + b"\xff\xfe\x00\x00" * 50,
        b"GIF89a\xff\xff\xff\xff\x00",
        b"\xff\xd8\xff",
    ],
)
async def test_an_image_that_is_too_large_to_decode_is_refused(bench: FilesBench, content: bytes) -> None:
    refused = await bench.upload(content)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/file")
    assert (bench.objects.objects, bench.rows.rows) == ({}, {})


@pytest.mark.parametrize(("comments", "found"), [(50, True), (100, False)])
def test_the_size_of_a_photo_is_looked_for_behind_its_metadata(comments: int, *, found: bool) -> None:
    comment = b"\xff\xfe\x0f\xa0" + bytes(3998)
    photo = JPEG_HEAD + comments * comment + JPEG_FRAME + bytes(300_000)
    detector, read = MediaTypeDetector(), 0
    with contextlib.suppress(InvalidRequest):
        for start in range(0, len(photo), 5000):
            detector.feed(photo[start : start + 5000])
            read += 5000
        assert detector.finish() == "image/jpeg"
    assert (read >= len(photo)) is found


@pytest.mark.parametrize("part", [b"\xff", b"\xff\xd0", b"\xff\xfe\x00\x02"])
def test_the_size_of_a_photo_is_not_looked_for_behind_parts_without_end(part: bytes) -> None:
    assert image_size("image/jpeg", JPEG_HEAD + part * 100 + JPEG_FRAME) == (2, 2)
    assert image_size("image/jpeg", JPEG_HEAD + part * 1000 + JPEG_FRAME) is None
