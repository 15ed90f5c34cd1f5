"""Extraction of a PDF's text in another process, which is killed when it exceeds its limits."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import structlog

from chat.file_errors import TEXT_ERRORS
from chat.files.pdf_process import MAX_TEXT_BYTES, Status
from chat.files.text_frame import CUT
from parley.errors import Overloaded
from parley.process.client_slots import ClientSlots
from parley.process.fair_slots import FairSlots
from parley.process.timeouts import at_most

log = structlog.get_logger()

MAX_WAITING = 16
"""Extractions of a process that wait or run. One runs at a time, of each user in turn: the other processors serve
requests."""
MAX_WAITING_OF_USER = 4
TOO_MANY_FILES = "Too many files are being read. Send the request again."
EXTRACTION_TIMEOUT = 30.0
"""Seconds of an extraction with the time that it waits. Its CPU time is limited before."""
COMMAND = (sys.executable, "-I", "-B", "-m", "chat.files.pdf_process")
"""Isolated: neither the environment nor the current folder adds code."""
_ERRORS: dict[int, str] = {
    Status.ENCRYPTED: "file_encrypted",
    Status.NO_TEXT: "file_without_text",
    Status.TOO_LONG: "file_too_long",
    Status.UNREADABLE: "file_unreadable",
}


class TextExtractor:
    """Extracts the texts of PDFs, one at a time."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._slots = FairSlots()
        self._places = ClientSlots(MAX_WAITING, MAX_WAITING_OF_USER, TOO_MANY_FILES)

    async def extract(self, user_id: UUID, pdf: AsyncIterator[bytes], filename: str) -> str:
        """Return the text of a PDF.

        Raises FileEncrypted, FileWithoutText, FileTooLong and FileUnreadable, which are final, and Overloaded.
        """
        with self._places.take(user_id):
            async with at_most(EXTRACTION_TIMEOUT), self._slots.hold(user_id):
                status, text = await self._run(pdf)
                return _text_of(status, text, filename)
        raise Overloaded("Reading the text of the file took too long. Send the request again.")

    async def _run(self, pdf: AsyncIterator[bytes]) -> tuple[int, bytes]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd=os.sep,
            start_new_session=True,  # a signal to the group of the service would look like a limit, which is final
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has read as much as it takes
                async for piece in pdf:
                    process.stdin.write(piece)
                    await process.stdin.drain()
                process.stdin.close()
            text = bytearray()
            while len(text) <= MAX_TEXT_BYTES and (read := await process.stdout.read(65_536)):
                text += read
            if len(text) <= MAX_TEXT_BYTES:
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            while await process.stdout.read(65_536):  # ``wait`` also waits until the pipe is empty
                pass
            await process.wait()
        return process.returncode or 0, bytes(text)


def _text_of(status: int, text: bytes, filename: str) -> str:
    """Return the text that the process has written; raises the error of its exit status."""
    if status in {Status.COMPLETE, Status.CUT}:
        return text.decode("utf-8", "ignore") + (CUT if status == Status.CUT else "")
    if status not in _ERRORS:  # killed by the kernel, at a limit of time or memory
        log.warning("pdf_process_ended", status=status)
    raise TEXT_ERRORS[_ERRORS.get(status, "file_too_long")](filename)
