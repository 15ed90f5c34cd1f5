"""The scopes there are, and how a request narrows them."""

from collections.abc import Iterable

from auth.errors import InvalidScope

ADMIN = "admin"
ACCOUNT = "account"
PERSONAL = (ACCOUNT, "chat:write", "events:read", "history:read", "history:write")
"""What every new account has."""
GRANTABLE = frozenset((*PERSONAL, ADMIN))
"""What an account can have at all; ``internal`` is for services only."""
FOR_KEYS = GRANTABLE - {ACCOUNT}
"""What an API key can have: never the account itself."""


def narrow(granted: Iterable[str], requested: str | None) -> list[str]:
    """Return the scopes asked for, sorted, or all that are granted; raises InvalidScope."""
    have = set(granted)
    if requested is None or not requested.strip():
        return sorted(have)
    wanted = set(requested.split())
    missing = sorted(wanted - have)
    if missing:
        # Only names that exist are repeated: what else was sent is not echoed.
        known = [scope for scope in missing if scope in GRANTABLE]
        raise InvalidScope(f"Scope not granted to this account: {', '.join(known) or 'unknown'}.")
    return sorted(wanted)
