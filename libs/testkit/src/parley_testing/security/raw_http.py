"""Raw bytes to a server, and what it sends back."""

import asyncio
import contextlib
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT = 10.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """The bytes of all responses, and whether the server closed the connection."""

    data: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        """The status of each response."""
        return [int(status) for status in _STATUS.findall(self.data)]


async def send_raw(url: str, data: bytes, *, within: float = TIMEOUT, source: str | None = None) -> RawAnswer:
    """Send bytes over a new connection, and read until the server closes it or ``within`` seconds have passed."""
    address = urlsplit(url)
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(address.hostname, address.port, local_addr=local)
    found = bytearray()
    closed = True
    try:
        writer.write(data)
        async with asyncio.timeout(within):
            while part := await reader.read(65_536):
                found += part
    except TimeoutError:
        closed = False
    except ConnectionError:
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return RawAnswer(bytes(found), closed)
