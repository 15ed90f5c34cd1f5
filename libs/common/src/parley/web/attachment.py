"""Names of downloads: ``Content-Disposition`` headers (RFC 6266)."""

import re
import unicodedata
from urllib.parse import quote


def attachment(stem: str, suffix: str, *, fallback: str) -> str:
    """Return the header that saves a response as ``stem.suffix``. ``fallback`` names a file without usable characters.

    The name is never a path, and the browser never shows the file itself.
    """
    title = " ".join(stem.split())
    ending = f".{suffix}" if suffix else ""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    ascii_name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.") or fallback
    full_name = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]+', "-", title).strip("-. ") or fallback
    return f"attachment; filename=\"{ascii_name}{ending}\"; filename*=UTF-8''{quote(full_name, safe='')}{ending}"
