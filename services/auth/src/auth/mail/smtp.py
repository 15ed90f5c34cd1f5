"""Mail by SMTP: the standard library's client in a thread of its own."""

import asyncio
import contextlib
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from auth.mail.mailer import MailNotSent

TIMEOUT = 10.0
"""Seconds that each step of the conversation with the server may take."""
PORT, TLS_PORT = 25, 465


class SmtpMailer:
    """Sends one mail at a time. TLS is used wherever it is offered, and credentials are sent over nothing else."""

    def __init__(self, url: str, sender: str, *, timeout: float = TIMEOUT, tls: ssl.SSLContext | None = None) -> None:
        """Take ``smtp://`` or ``smtps://user:password@host:port``, whom mails come from, and seconds for a step."""
        self._url, self._sender, self._timeout = urlsplit(url), sender, timeout
        self._tls = tls or ssl.create_default_context()
        self._executor = ThreadPoolExecutor(1, "smtp")

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand a mail to the server; raises MailNotSent."""
        try:
            message = _message(self._sender, to, subject, text)
            await asyncio.get_running_loop().run_in_executor(self._executor, self._send, message)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            raise MailNotSent(_reason(error)) from None

    def close(self) -> None:
        """Let the thread end after the mail it is at."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _send(self, message: EmailMessage) -> None:
        with contextlib.closing(self._connect()) as server:
            if self._url.username:
                server.login(unquote(self._url.username), unquote(self._url.password or ""))
            server.send_message(message)
            # The mail is theirs by now, however the farewell goes.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()

    def _connect(self) -> smtplib.SMTP:
        host = self._url.hostname or ""
        if self._url.scheme == "smtps":
            port = self._url.port or TLS_PORT
            return smtplib.SMTP_SSL(host, port, timeout=self._timeout, context=self._tls)
        server = smtplib.SMTP(host, self._url.port or PORT, timeout=self._timeout)
        try:
            self._secure(server)
        except BaseException:
            server.close()
            raise
        return server

    def _secure(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        if server.has_extn("starttls"):
            server.starttls(context=self._tls)
        elif self._url.username:
            raise smtplib.SMTPNotSupportedError("no TLS")


def _message(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2].rstrip(">"))
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _reason(error: Exception) -> str:
    """Return what may be logged: what servers say can hold addresses."""
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
