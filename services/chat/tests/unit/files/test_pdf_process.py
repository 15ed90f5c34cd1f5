"""Texts of PDFs: the process that reads them, its limits, and hostile PDFs."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from chat.file_errors import FileTextError, FileTooLong
from chat.files import pdf_process, text_extractor
from chat.files.pdf_process import MAX_CPU_SECONDS, MAX_MEMORY, MAX_TEXT_BYTES, Status, write_pages
from chat.files.text_extractor import COMMAND, MAX_WAITING_OF_USER, TextExtractor
from chat.files.text_frame import CUT
from chat_testing.pdfs import pdf, pdf_of
from parley.errors import Overloaded
from parley.ids import new_id


def pdf_bomb() -> bytes:
    """Return a PDF of 80 KB with 80 MB of text. Not a constant, which each worker would compress."""
    return pdf_of([b"q " * 40_000_000])


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


async def extracted(data: bytes, command: Sequence[str] = COMMAND) -> str:
    return await TextExtractor(command).extract(new_id(), pieces(data), "plan.pdf")


async def code_of(data: bytes) -> str:
    with pytest.raises(FileTextError) as found:
        await extracted(data)
    assert found.value.detail.endswith(": `plan.pdf`.")
    return found.value.code


async def test_the_text_of_a_pdf_is_that_of_its_pages() -> None:
    assert await extracted(pdf("Hello", "", "world")) == "Hello\n\nworld"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (pdf(""), "file_without_text"),
        (pdf("Hello")[:300], "file_unreadable"),
        (b"%PDF-1.7 but nothing else", "file_unreadable"),
        (
            pdf("Hello", trailer=b"/Encrypt << /Filter /Standard /V 1 /R 2 /O (o) /U (u) /P -4 >> /ID [(a) (a)]"),
            "file_encrypted",
        ),
        (pdf_bomb, "file_unreadable"),
        (pdf_of([b"q"], kids=b"4 0 R " * 6000, count=6000), "file_too_long"),
        (pdf_of([b"q"], kids=b"2 0 R"), "file_unreadable"),
    ],
    ids=["scan", "cut", "no pdf", "encrypted", "bomb", "6,000 pages", "loop"],
)
async def test_a_pdf_without_readable_text_has_an_error_that_says_why(
    data: bytes | Callable[[], bytes], code: str
) -> None:
    assert await code_of(data if isinstance(data, bytes) else data()) == code


@pytest.mark.parametrize(
    "data",
    [
        pdf_of([b"[" * 1_000_000]),
        pdf_of([b"<<" * 500_000]),
        pdf("Hello").replace(b"xref\n0 6", b"xref\n0 999999999"),
        pdf("Hello").replace(b"/Length ", b"/Length 9999999999"),
    ],
    ids=["deep arrays", "deep dictionaries", "huge xref", "huge length"],
)
async def test_a_hostile_pdf_has_an_error_or_a_text(data: bytes) -> None:
    (found,) = await asyncio.gather(extracted(data), return_exceptions=True)
    assert isinstance(found, str | FileTextError)


async def test_the_text_of_a_pdf_is_cut_where_it_is_too_long(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_process, "MAX_CPU_SECONDS", float("inf"))  # this process has run other tests
    assert write_pages(iter(["x" * 600_000] * 2)) == Status.CUT
    assert len(capsysbinary.readouterr().out) == MAX_TEXT_BYTES
    monkeypatch.setattr(pdf_process, "MAX_CPU_SECONDS", 0)
    assert write_pages(iter(["x"] * 2)) == Status.CUT
    assert capsysbinary.readouterr().out == b"x"
    assert await extracted(b"", ("/bin/sh", "-c", f"printf x; exit {Status.CUT}")) == f"x{CUT}"


LIMITS = """
import os, resource, sys
from chat.files.pdf_process import limit_resources
limit_resources()
sys.stdin.read()
print(*(resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NPROC)))
print(open("/proc/self/oom_score_adj").read().strip())
print(*os.environ, "end")
"""


async def test_the_process_of_a_pdf_has_limits_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    limits, score, names = (await extracted(b"", (sys.executable, "-I", "-c", LIMITS))).splitlines()
    assert limits == f"({MAX_CPU_SECONDS}, {MAX_CPU_SECONDS}) ({MAX_MEMORY}, {MAX_MEMORY}) (0, 0)"
    assert (score, "DATABASE_URL" in names) == ("1000", False)


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.stdin.read(); sys.exit(1)",
        "import os; os.kill(os.getpid(), 11)",
        "import sys; sys.stdin.read()\nwhile True: sys.stdout.write('x' * 1_000_000)",
    ],
    ids=["failed", "crashed", "too much"],
)
async def test_a_process_that_exceeds_its_limits_is_an_error(program: str) -> None:
    with pytest.raises(FileTooLong):
        await extracted(b"x" * 1_000_000, (sys.executable, "-I", "-S", "-c", program))


async def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(text_extractor, "EXTRACTION_TIMEOUT", 0.5)
    started = tmp_path / "pid"
    with pytest.raises(Overloaded):
        await extracted(b"", ("/bin/sh", "-c", f"echo $$ >{started}; exec sleep 1000"))
    pid = started.read_text().strip() if started.exists() else ""  # a slow machine may not even have started it
    assert not pid or not Path("/proc", pid).exists()


async def test_a_user_can_have_few_extractions_wait() -> None:
    extractor, user_id = TextExtractor(("/bin/cat",)), new_id()
    running = [extractor.extract(user_id, pieces(b"text"), "plan.pdf") for _ in range(MAX_WAITING_OF_USER + 1)]
    found = await asyncio.gather(*running, return_exceptions=True)
    assert [type(one) for one in found] == [*[str] * MAX_WAITING_OF_USER, Overloaded]
    assert await extractor.extract(new_id(), pieces(b"text"), "plan.pdf") == "text"


async def test_the_pdfs_of_one_user_do_not_hold_up_those_of_another() -> None:
    order: list[str] = []
    extractor, busy, other = TextExtractor(("/bin/cat",)), new_id(), new_id()

    async def extract(user_id: UUID, name: str) -> None:
        await extractor.extract(user_id, pieces(name.encode()), "plan.pdf")
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for n in range(MAX_WAITING_OF_USER):
            group.create_task(extract(busy, f"busy {n}"))
        await asyncio.sleep(0)  # they wait before the other one comes
        group.create_task(extract(other, "other"))
    assert order[:2] == ["busy 0", "other"]
