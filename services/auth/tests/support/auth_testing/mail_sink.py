"""An SMTP server that keeps the mails it receives, and people whose address is verified by mail."""

import asyncio
import contextlib
import email
import email.policy
from email.message import EmailMessage

from auth.email_verification import service as verification
from auth.password_resets.request_queue import MAIL_SUBJECT
from auth_testing.app import Person, RunningAuth

PAGE = "https://chat.example.org/new-password"
VERIFICATION_PAGE = "https://chat.example.org/verify-email"
VERIFY = "/api/v1/auth/email-verification"
WITHIN = 15.0


class MailSink:
    """An SMTP server that keeps the mails it receives."""

    def __init__(self) -> None:
        self.mails: asyncio.Queue[EmailMessage] = asyncio.Queue()
        self.refuses = False
        self.port = 0

    async def next(self, subject: str = MAIL_SUBJECT, to: str | None = None) -> EmailMessage:
        """Return the next mail with a subject, to an address if one is given; others are dropped."""
        async with asyncio.timeout(WITHIN):
            while True:
                mail = await self.mails.get()
                if mail["subject"] == subject and to in {None, mail["to"]}:
                    return mail

    def has_none(self, subject: str = MAIL_SUBJECT) -> bool:
        """Drop the mails that have arrived, and return whether none has the subject."""
        return subject not in [self.mails.get_nowait()["subject"] for _ in range(self.mails.qsize())]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while command := (await reader.readline()).strip().upper():
                writer.write(await self._reply(command, reader, writer))
                await writer.drain()

    async def _reply(self, command: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        if command.startswith(b"RCPT") and self.refuses:
            self.refuses = False
            return b"550 no such mailbox\r\n"
        if command != b"DATA":
            return b"250 ok\r\n"
        writer.write(b"354 go on\r\n")
        data = await self._data(reader)
        self.mails.put_nowait(email.message_from_bytes(data, _class=EmailMessage, policy=email.policy.default))
        return b"250 kept\r\n"

    @staticmethod
    async def _data(reader: asyncio.StreamReader) -> bytes:
        lines: list[bytes] = []
        while (line := await reader.readline()) != b".\r\n":
            lines.append(line)
        return b"".join(lines)


async def verified_person(auth: RunningAuth, sink: MailSink) -> Person:
    """Return a person whose address is verified by the mailed link."""
    person = await auth.person()
    token = token_in(await sink.next(verification.MAIL_SUBJECT, person.address), VERIFICATION_PAGE)
    answer = await auth.client.post(VERIFY, json={"verification_token": token})
    assert answer.status_code == 204, answer.text
    return person


def address(person: Person) -> str:
    return f"{person.username}@example.org"


def token_in(mail: EmailMessage, expected: str = PAGE) -> str:
    (link,) = [line for line in mail.get_content().splitlines() if line.startswith("https://")]
    page, _, token = link.partition("#token=")
    assert page == expected
    return str(token)
