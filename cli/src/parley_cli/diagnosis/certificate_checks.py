"""Checks of the certificates of every address that is reached over TLS."""

import asyncio
import ssl
from datetime import UTC, datetime

from cryptography import x509

from parley_cli.diagnosis.findings import Finding, fault, warning

DAY = 86_400
WARN_DAYS = 21
POSTGRES_TLS_REQUEST = bytes((0, 0, 0, 8, 4, 210, 22, 47))


async def check_certificate(target: str, host: str, port: int, *, postgres: bool = False) -> list[Finding]:
    """Check how long the certificate of a server is valid. Whether it is trusted shows in the other checks."""
    certificate = await _fetch(host, port, postgres=postgres)
    return [judge(target, certificate.not_valid_after_utc)] if certificate else []


def judge(target: str, ends: datetime, at: datetime | None = None) -> Finding:
    """Judge a certificate by the end of its validity."""
    days = (ends - (at or datetime.now(UTC))).total_seconds() / DAY
    facts = {"expires_at": ends.isoformat(), "days": round(days, 1)}
    if days <= 0:
        return fault(
            target, "certificate", "certificate_expired", f"Its certificate expired on {ends:%Y-%m-%d}.", **facts
        )
    text = f"Its certificate is valid until {ends:%Y-%m-%d}."
    if days < WARN_DAYS:
        return warning(target, "certificate", "certificate_expires", text, **facts)
    return Finding(target, "certificate", text, facts=facts)


async def _fetch(host: str, port: int, *, postgres: bool) -> x509.Certificate | None:
    # Nothing is sent over this connection, so the certificate need not be trusted to be read.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = (
        await asyncio.open_connection(host, port)
        if postgres
        else (await asyncio.open_connection(host, port, ssl=context, server_hostname=host))
    )
    try:
        if postgres:
            writer.write(POSTGRES_TLS_REQUEST)
            if await reader.readexactly(1) != b"S":
                return None
            await writer.start_tls(context, server_hostname=host)
        found: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return x509.load_der_x509_certificate(found.getpeercert(binary_form=True) or b"")
    finally:
        writer.transport.abort()
