"""uvicorn's private protocols, which ``gateway.server`` extends.

When a digest changes, compare ``protocol.py``, ``request_cycle.py`` and ``websocket_protocol.py`` with uvicorn's new
source. Then record the new digest, and raise the cap in ``services/gateway/pyproject.toml``.
"""

import hashlib
import inspect
import re
from importlib.metadata import requires
from pathlib import Path

from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.protocols.websockets import websockets_sansio_impl

import gateway
from gateway.server import uvicorn_internals

REVIEWED = "ea814cf42e50628dba76b72e12900943da6801b4bcf097f11dff4ea2cdc99455"

REVIEWED_WEBSOCKETS = "8b32a97a1608788bba525c8b1e0d3eb0a93cd09d0f4f41b9b83cebd527336c49"


def test_the_source_of_uvicorns_protocol_is_the_reviewed_one() -> None:
    source = inspect.getsource(httptools_impl) + inspect.getsource(flow_control)
    assert hashlib.sha256(source.encode()).hexdigest() == REVIEWED
    websockets = inspect.getsource(websockets_sansio_impl)
    assert hashlib.sha256(websockets.encode()).hexdigest() == REVIEWED_WEBSOCKETS


def test_uvicorn_is_capped_to_the_reviewed_release() -> None:
    (uvicorn,) = (line for line in requires("parley-gateway") or () if line.startswith("uvicorn"))
    assert re.search(r"<0\.\d+", uvicorn), uvicorn


def test_no_other_module_of_the_gateway_imports_uvicorn() -> None:
    root = next(iter(gateway.__path__))
    importing = [
        path
        for path in Path(root).rglob("*.py")
        if re.search(r"^\s*(from|import) uvicorn", path.read_text(), re.MULTILINE)
    ]
    assert importing == [Path(inspect.getfile(uvicorn_internals))]
