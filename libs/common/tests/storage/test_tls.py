"""TLS to Redis, RabbitMQ and Postgres with the certificate of a private authority."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from parley.storage.postgres import open_pool
from parley.storage.postgres_errors import is_unavailable
from parley.storage.redis import REDIS_UNAVAILABLE, open_redis, ping
from parley_events.connection import OUTAGES, close, connect
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.faults.tcp_proxy import open_target

pytestmark = pytest.mark.integration

TIMEOUT = 10.0
SSL_REQUEST_SIZE = 8


@dataclass(frozen=True)
class Authority:
    """Files of a private certificate authority, of a server that it certified, and of another authority."""

    ca: Path
    certificate: Path
    key: Path
    other_ca: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    found = Authority(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "other.pem")))
    key = ec.generate_private_key(ec.SECP256R1())
    certificate, server_key = _certificate("127.0.0.1", "Private CA", key)
    found.ca.write_bytes(_certificate("Private CA", "Private CA", key)[0])
    found.other_ca.write_bytes(_certificate("Private CA", "Private CA", None)[0])
    found.certificate.write_bytes(certificate)
    found.key.write_bytes(server_key)
    found.key.chmod(0o600)
    return found


def _certificate(subject: str, issuer: str, signer: ec.EllipticCurvePrivateKey | None) -> tuple[bytes, bytes]:
    """Return a certificate and its key. An authority signs itself."""
    authority = subject == issuer
    own = (signer if authority else None) or ec.generate_private_key(ec.SECP256R1())
    signer = signer or own
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if authority:
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    else:
        address = x509.IPAddress(ipaddress.ip_address(subject))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    made = builder.sign(signer, hashes.SHA256())
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


@contextlib.asynccontextmanager
async def tls_in_front_of(host: str, port: int, authority: Authority, *, postgres: bool = False) -> AsyncIterator[str]:
    """Terminate TLS in front of a server; yields host and port. ``postgres``: TLS begins after a request for it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.certificate, authority.key)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        inner_reader, inner_writer = await open_target(host, port)
        try:
            if postgres:
                await reader.readexactly(SSL_REQUEST_SIZE)
                writer.write(b"S")
                await writer.start_tls(context)
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            connections.discard(task)
            for each in (inner_writer, writer):
                each.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if postgres else context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()


async def test_redis_is_reached_over_tls_with_a_private_authority_only(
    backends: SharedBackends, authority: Authority
) -> None:
    url = await backends.redis_url()
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    async with tls_in_front_of(parts.hostname or parts.path, parts.port or 0, authority) as address:
        secure = f"rediss://{user}@{address}" if user else f"rediss://{address}"
        async with open_redis(f"{secure}?ssl_ca_certs={authority.ca}", timeout=TIMEOUT) as redis:
            await ping(redis)
        async with open_redis(f"{secure}?ssl_ca_certs={authority.other_ca}", timeout=TIMEOUT) as redis:
            with pytest.raises(REDIS_UNAVAILABLE):
                await ping(redis)


async def test_rabbitmq_is_reached_over_tls_with_a_private_authority_only(
    backends: SharedBackends, authority: Authority
) -> None:
    parts = urlsplit((await backends.private_rabbitmq()).url)
    async with tls_in_front_of(str(parts.hostname), parts.port or 5672, authority) as address:
        secure = f"amqps://{parts.username}:{parts.password}@{address}{parts.path}"
        await close(await connect(f"{secure}?cafile={authority.ca}", "tls"))
        with pytest.raises(OUTAGES):
            await connect(f"{secure}?cafile={authority.other_ca}", "tls")


async def test_postgres_is_reached_over_tls_with_a_private_authority_only(dsn: str, authority: Authority) -> None:
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query))
    port = parts.port or int(options.get("port", 5432))
    target = f"{options['host']}/.s.PGSQL.{port}" if "host" in options else str(parts.hostname)
    async with tls_in_front_of(target, port, authority, postgres=True) as address:
        secure = (
            f"postgresql://{parts.netloc.rpartition('@')[0]}@{address}{parts.path}?sslmode=verify-full&sslrootcert="
        )
        async with open_pool(f"{secure}{authority.ca}", size=1) as pool:
            assert await pool.fetchval("SELECT 1") == 1
        with pytest.raises(OSError, match=r"(?i)certificate") as refused:
            async with open_pool(f"{secure}{authority.other_ca}", size=1):
                pass
        assert is_unavailable(refused.value)
