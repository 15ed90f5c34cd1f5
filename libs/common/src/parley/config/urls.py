"""Settings that are URLs. Their form is checked before anything is opened; the messages do not contain them."""

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_ORIGIN = re.compile(r"https?://([^\s/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:(\d{1,5}|\*))?/?\Z")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:\d{1,5})?\Z")


def is_url(text: str, *schemes: str) -> bool:
    """Return whether a text is a URL with one of the schemes, and with a host."""
    try:
        url = urlsplit(text)
        return url.scheme in schemes and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def is_origin(text: str) -> bool:
    """Return whether a text is an origin such as ``https://chat.example.org``; its port may be ``*``."""
    return _ORIGIN.match(text) is not None


def _web(value: str) -> str:
    if not is_url(value, "http", "https"):
        raise ValueError("must be a URL that begins with http:// or https://")
    return value


def _secret(*schemes: str) -> Callable[[SecretStr], SecretStr]:
    """Return a check of the scheme and the ports: hosts may be several, a socket, or in the query."""
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(value: SecretStr) -> SecretStr:
        scheme, separator, rest = value.get_secret_value().strip().partition("://")
        if not separator or scheme.lower() not in schemes:
            raise ValueError(f"must be a URL that begins with {wanted}")
        hosts = re.split("[/?#]", rest)[0].rpartition("@")[2]
        if not all(map(_HOST.match, hosts.split(","))):
            raise ValueError("must be a URL with numeric ports; a password has / ? # as %2F %3F %23")
        return value

    return check


WebUrl = Annotated[str, AfterValidator(_web)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_secret("postgresql", "postgres"))]
RedisUrl = Annotated[SecretStr, AfterValidator(_secret("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix"))]
