"""Request and response bodies of accounts."""

from typing import Self
from uuid import UUID

from pydantic import field_validator

from auth.accounts.model import Status, User
from auth.web.fields import Email, EndApiKeys, Name, Password, Username
from parley.times import Timestamp
from parley.web.schemas import RequestBody, ResponseBody, refuse_null


class RegisterBody(RequestBody):
    """A new account."""

    username: Username
    email: Email | None = None
    password: Password
    display_name: Name | None = None


class ProfileBody(RequestBody):
    """A change of the profile; absent members stay unchanged."""

    username: Username | None = None
    email: Email | None = None
    display_name: Name | None = None

    _kept = field_validator("username", mode="before")(refuse_null)

    def changes(self) -> dict[str, str | None]:
        """Return the members that were sent; null removes one."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class PasswordBody(RequestBody):
    """A change of password."""

    current_password: Password
    new_password: Password
    end_api_keys: EndApiKeys = True


class UserView(ResponseBody):
    """An account."""

    id: UUID
    username: str
    email: str | None
    email_verified: bool
    display_name: str | None
    status: Status
    plan: str
    scopes: list[str]
    created_at: Timestamp
    updated_at: Timestamp
    last_login_at: Timestamp | None

    @classmethod
    def of(cls, user: User) -> Self:
        """Return the view of an account."""
        return cls(
            id=user.id,
            username=user.username,
            email=user.email,
            email_verified=user.email_verified,
            display_name=user.display_name,
            status=user.status,
            plan=user.plan,
            scopes=list(user.scopes),
            created_at=user.created_at,
            updated_at=user.updated_at,
            last_login_at=user.last_login_at,
        )
