"""Services of the stack: each has the secrets that it needs."""

import json
from pathlib import Path

from auth.settings import AuthSettings
from gateway.settings import GatewaySettings
from parley.messaging.memory_bus import MemoryBus
from parley_cli.stack.backends import StackBackends
from parley_cli.stack.encryption_key import ensure_key
from parley_cli.stack.ports import StackPorts
from parley_cli.stack.services import QUEUES, StackConfig, create_auth, create_gateway


def test_the_gateway_has_its_client_secret_to_look_up_revocations(tmp_path: Path) -> None:
    ensure_key(tmp_path)
    url = "postgresql://localhost/"
    backends = StackBackends(dict.fromkeys(("auth", "chat", "history"), url), "redis://localhost/0", None)
    config, bus = StackConfig(tmp_path, StackPorts(), backends, "http://localhost:8000"), MemoryBus(QUEUES)
    gateway, auth = create_gateway(config, bus).settings, create_auth(config, bus).settings
    assert isinstance(gateway, GatewaySettings)
    assert isinstance(auth, AuthSettings)
    assert gateway.internal_client_secret is not None
    clients = json.loads(auth.internal_clients.get_secret_value())
    assert clients["gateway"] == gateway.internal_client_secret.get_secret_value()
