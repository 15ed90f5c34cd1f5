"""Checking a name and a password: throttled, off the loop, and equally slow whether the account exists or not."""

from auth.accounts.ports import Users
from auth.model import Origin, User
from auth.security import identifiers
from auth.security.login_throttle import Throttle
from auth.security.password_hashing import HashSlot, PasswordHasher

UNKNOWN_ADDRESS = "unknown"


class Login:
    """Finds out whether somebody is who they say."""

    def __init__(self, users: Users, hasher: PasswordHasher, throttle: Throttle) -> None:
        """Take the accounts, what checks passwords, and what slows down guessing."""
        self._users, self._hasher, self._throttle = users, hasher, throttle

    async def authenticate(self, login: str, password: str, origin: Origin) -> User | None:
        """Return the active account, or None; raises LoginThrottled or Overloaded."""
        user = await self._users.by_login(identifiers.key(login))
        subject = str(user.id) if user else identifiers.key(login)
        correct = await self._check(subject, user, password, origin)
        return user if correct else None

    async def confirm(self, user: User, password: str, origin: Origin) -> bool:
        """Say whether this is the password of somebody already logged in."""
        return await self._check(str(user.id), user, password, origin)

    async def _check(self, subject: str, user: User | None, password: str, origin: Origin) -> bool:
        address = origin.address or UNKNOWN_ADDRESS
        await self._throttle.check(subject, address)
        stored = user.password_hash if user else await self._hasher.dummy()
        async with self._hasher.slot() as slot:
            # Again in its turn: whoever queued many guesses at once gets no more of them than one after the other.
            await self._throttle.check(subject, address)
            matches = await slot.verify(password, stored)
            if not (matches and user and user.active):
                await self._throttle.failed(subject, address)
                return False
            await self._throttle.succeeded(subject, address)
            await self._upgrade(slot, user, password)
        return True

    async def _upgrade(self, slot: HashSlot, user: User, password: str) -> None:
        if self._hasher.outdated(user.password_hash):
            await self._users.rehash(user.id, user.password_hash, await slot.hash(password))
