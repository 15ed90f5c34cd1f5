"""Creation of accounts by administrators and operators, with a password or with an invitation."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from auth.accounts.model import User
from auth.accounts.plans import Plans
from auth.accounts.service import AccountService
from auth.audit.model import RequestOrigin
from auth.password_resets.model import PasswordLink
from auth.password_resets.service import PasswordResetService
from auth.security.scopes import DEFAULT_SCOPES
from parley.config.plans import DEFAULT_PLAN
from parley.errors import ValidationFailed
from parley.field_errors import FieldError


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """An account to create; names are in their stored form. Without a password, its owner is invited."""

    username: str
    email: str | None = None
    password: str | None = field(default=None, repr=False)
    display_name: str | None = None
    scopes: Sequence[str] = DEFAULT_SCOPES
    plan: str = DEFAULT_PLAN


@dataclass(frozen=True, slots=True)
class CreatedAccount:
    """A new account, and the link with which its owner chooses a password unless it has one."""

    user: User
    invitation: PasswordLink | None


class AccountCreator:
    """Creates accounts, whether or not registration is open."""

    def __init__(self, accounts: AccountService, resets: PasswordResetService, plans: Plans) -> None:
        self._accounts, self._resets, self._plans = accounts, resets, plans

    async def create(self, wanted: AccountRequest, origin: RequestOrigin) -> CreatedAccount:
        """Create an account; raises ValidationFailed for an unknown plan, PasswordTooWeak or AccountExists."""
        self.check_plan(wanted.plan)
        user = await self._accounts.create(
            username=wanted.username,
            email=wanted.email,
            password=wanted.password,
            origin=origin,
            display_name=wanted.display_name,
            scopes=tuple(wanted.scopes),
            plan=wanted.plan,
        )
        return CreatedAccount(user, await self._resets.issue(user, origin) if wanted.password is None else None)

    def check_plan(self, plan: str) -> None:
        """Raise ValidationFailed unless the plans file defines the plan."""
        if plan not in self._plans.by_name:
            raise ValidationFailed([FieldError("/plan", "unknown_plan", "The plan is not defined in the plans file.")])
