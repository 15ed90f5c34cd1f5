"""SMTP over TLS: credentials are sent only to a server with a trusted certificate."""

import asyncio
import base64
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from auth.mail.mailer import MailDeliveryError
from auth.mail.smtp import SmtpMailer

HOST = "127.0.0.1"
WITHIN = 15.0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "server.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class TlsMailServer:
    """An SMTP server that requires credentials and keeps the commands it receives."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            while command := (await reader.readline()).strip():
                self.commands.append(command)
                writer.write(await self._reply(command, reader, writer))
                await writer.drain()

    @staticmethod
    async def _reply(command: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        match command.split()[0].upper():
            case b"EHLO":
                return b"250-ready\r\n250 AUTH PLAIN\r\n"
            case b"AUTH":
                return b"235 welcome\r\n"
            case b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
        return b"250 ok\r\n"


@pytest.fixture
async def server(certificate: Path) -> AsyncIterator[TlsMailServer]:
    found = TlsMailServer()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with await asyncio.start_server(found.serve, HOST, 0, ssl=tls) as listening:
        found.port = listening.sockets[0].getsockname()[1]
        yield found


async def send(server: TlsMailServer, tls: ssl.SSLContext | None) -> None:
    url = f"smtps://ada:p%40ss@{HOST}:{server.port}"
    with contextlib.closing(SmtpMailer(url, "parley@example.org", tls=tls, timeout=5)) as mailer:
        await asyncio.wait_for(mailer.send("ada@example.org", "subject", "text"), WITHIN)


async def test_credentials_are_sent_to_a_trusted_server(server: TlsMailServer, certificate: Path) -> None:
    await send(server, ssl.create_default_context(cafile=str(certificate)))
    plain = base64.b64encode(b"\0ada\0p@ss")
    assert b"AUTH PLAIN " + plain in server.commands
    assert server.commands[-2:] == [b"data", b"quit"]


async def test_nothing_is_sent_to_an_untrusted_server(server: TlsMailServer) -> None:
    with pytest.raises(MailDeliveryError, match="SSLCertVerificationError"):
        await send(server, None)
    assert server.commands == []
