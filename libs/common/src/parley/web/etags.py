"""Entity tags of HTTP: whether a client already has the current version of a resource (RFC 9110, 13.1.2)."""


def has_current(if_none_match: str | None, etag: str) -> bool:
    """Return whether ``If-None-Match`` names the ETag of the resource, or any (``*``).

    A weak tag equals the strong one of the same text, as RFC 9110 has it for this header.
    """
    if if_none_match is None:
        return False
    given = [_opaque(tag.strip()) for tag in if_none_match.split(",")]
    return given == ["*"] or _opaque(etag) in given


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/")
