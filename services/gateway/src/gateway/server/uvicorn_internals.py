"""The private names of uvicorn's protocols that the gateway builds on.

``pyproject.toml`` caps uvicorn, and ``tests/unit/test_uvicorn_internals.py`` fails when their source changes. Then
compare ``protocol.py``, ``request_cycle.py`` and ``websocket_protocol.py`` with the new source before the cap and the
digest are raised.
"""

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

__all__ = [
    "STATUS_LINE", "Config", "RequestResponseCycle", "ServerState", "WebSocketsSansIOProtocol",
]  # fmt: skip
