"""Password login: throttled, hashed off the event loop, and equally slow for unknown accounts."""

from dataclasses import replace

from auth.accounts.model import User
from auth.accounts.store import AccountStore
from auth.audit.model import RequestOrigin
from auth.security import identifiers
from auth.security.login_throttle import LoginThrottle, client_site
from auth.security.password_hashing import HashSlot, PasswordHasher
from auth.security.password_policy import MAX_LENGTH

UNKNOWN_ADDRESS = "unknown"


class LoginService:
    """Checks user names and passwords."""

    def __init__(self, accounts: AccountStore, hasher: PasswordHasher, throttle: LoginThrottle) -> None:
        self._accounts, self._hasher, self._throttle = accounts, hasher, throttle

    async def authenticate(self, login: str, password: str, origin: RequestOrigin) -> User | None:
        """Return the active account, or None for a wrong name or password; raises LoginThrottled or Overloaded."""
        if len(login) > identifiers.MAX_LOGIN_LENGTH or len(password) > MAX_LENGTH:
            return None
        user = await self._accounts.by_login(identifiers.key(login))
        subject = str(user.id) if user else identifiers.key(login)
        return await self._check(subject, user, password, origin)

    async def confirm(self, user: User, password: str, origin: RequestOrigin) -> User | None:
        """Return the account, with its present hash, if this is its password; raises LoginThrottled or Overloaded."""
        return await self._check(str(user.id), user, password, origin)

    async def _check(self, subject: str, user: User | None, password: str, origin: RequestOrigin) -> User | None:
        address = origin.address or UNKNOWN_ADDRESS
        await self._throttle.check(subject, address)
        stored = user.password_hash if user else await self._hasher.dummy()
        async with self._hasher.slot(client_site(address)) as slot:
            # Checked again, because other attempts may have failed while this one was queued.
            await self._throttle.check(subject, address)
            matches = await slot.verify(password, stored)
            if not (matches and user and user.active):
                await self._throttle.record_failure(subject, address)
                return None
            await self._throttle.record_success(subject, address)
            return await self._rehash_if_outdated(slot, user, password)

    async def _rehash_if_outdated(self, slot: HashSlot, user: User, password: str) -> User | None:
        if not self._hasher.is_outdated(user.password_hash):
            return user
        renewed = await slot.hash(password)
        if await self._accounts.rehash(user.id, user.password_hash, renewed):
            return replace(user, password_hash=renewed)
        # Another login has replaced the hash, or somebody has changed the password.
        found = await self._accounts.by_id(user.id)
        return found if found and await slot.verify(password, found.password_hash) else None
