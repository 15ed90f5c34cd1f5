"""Scopes of accounts and API keys, and their narrowing by a token request."""

from collections.abc import Iterable

from auth.errors import InvalidScope

ADMIN_SCOPE = "admin"
ACCOUNT_SCOPE = "account"
DEFAULT_SCOPES = (ACCOUNT_SCOPE, "chat:write", "events:read", "history:read", "history:write")
"""Scopes of a new account."""
WEBHOOKS_SCOPE = "webhooks"
"""Webhooks for one's own events. An administrator grants it, because Parley then sends requests to the user's URLs."""
GRANTABLE_SCOPES = frozenset((*DEFAULT_SCOPES, ADMIN_SCOPE, WEBHOOKS_SCOPE))
"""Scopes that an account can have; ``internal`` is for services only."""
API_KEY_SCOPES = GRANTABLE_SCOPES - {ACCOUNT_SCOPE}
"""Scopes that an API key can have: all except managing the account."""


def narrow(granted: Iterable[str], requested: str | None) -> list[str]:
    """Return the requested scopes, or all granted ones, sorted; raises InvalidScope if one is not granted."""
    have = set(granted)
    if requested is None or not requested.strip():
        return sorted(have)
    wanted = set(requested.split())
    missing = sorted(wanted - have)
    if missing:
        # Only known scope names are repeated; other input is not echoed.
        known = [scope for scope in missing if scope in GRANTABLE_SCOPES]
        raise InvalidScope(f"Scope not granted to this account: {', '.join(known) or 'unknown'}.")
    return sorted(wanted)
