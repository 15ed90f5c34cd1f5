"""Environment variables of child processes."""

import os
from collections.abc import Mapping

_LOCALE = ("LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "TZ")
_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
ALLOWED = frozenset({"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", *_LOCALE, *_PYTHON})
"""Variables that a child inherits. No other one, because the rest contains provider keys, secrets and database URLs."""
DOWNLOAD = frozenset(
    {f"{scheme}_proxy" for scheme in ("http", "https", "ftp", "all", "no")}
    | {f"{scheme}_PROXY" for scheme in ("HTTP", "HTTPS", "FTP", "ALL", "NO")}
    | {"APT_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
"""Variables that a program inherits, too, when it downloads something."""


def child_environment(
    extra: Mapping[str, str] | None = None,
    *,
    also: frozenset[str] = frozenset(),
    source: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the allowed variables of `source`, those of `also`, and `extra`, which wins."""
    allowed = ALLOWED | also
    return {name: value for name, value in source.items() if name in allowed} | dict(extra or {})
