"""Every SQL statement of a package: the constants that are one."""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator

from parley.storage.named_parameters import NamedStatement

FRAGMENTS = {
    "chat.storage.erasure_statements._UNBLANKED",
    "chat.storage.turn_lists._LIST",
    "history.conversations.postgres._CONVERSATION_COLUMNS",
    "history.messages.postgres._COLUMNS",
    "history.messages.postgres._PATH",
    "history.messages.postgres._TREE",
    "webhooks.deliveries.postgres._SELECT",
    "webhooks.endpoints.postgres._SELECT",
    "webhooks.sending.claim_statements._HEADS",
    "webhooks.sending.claim_statements._WAITING",
    "webhooks.sending.claim_statements._WALK",
}
"""Constants that are parts of statements."""
_STATEMENT = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b")


def service_statements(service: str) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of all statements that run on the database of a service, with those of its outbox."""
    yield from statements(service)
    yield from statements("parley.messaging.outbox")


def statements(package: str) -> Iterator[tuple[str, str]]:
    """Yield the name and text of every constant of a package that is a statement."""
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if info.name.rpartition(".")[2] in ("main", "__main__", "worker"):
            continue
        for name, value in vars(importlib.import_module(info.name)).items():
            parts = _parts(value)
            full_name = f"{info.name}.{name}"
            for part in parts if name.isupper() and full_name not in FRAGMENTS else ():
                text = part.sql if isinstance(part, NamedStatement) else part
                if isinstance(text, str) and _STATEMENT.match(text):
                    yield full_name, text


def _parts(constant: object) -> Iterable[object]:
    if isinstance(constant, dict):
        return constant.values()
    return constant if isinstance(constant, tuple) else [constant]
