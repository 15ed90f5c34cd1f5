"""Request and response bodies of administration."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, field_validator

from auth.accounts.schemas import UserView
from auth.administration.creation import AccountRequest, CreatedAccount
from auth.audit.model import AuditEntry
from auth.security.password_policy import MAX_LENGTH
from auth.security.scopes import DEFAULT_SCOPES
from auth.web.fields import Email, Name, ScopeList, Username
from parley.config.plans import DEFAULT_PLAN, MAX_NAME_LENGTH
from parley.times import Timestamp
from parley.web.schemas import RequestBody, ResponseBody, Text, refuse_null

MAX_NAMES = 1000
"""Accounts of one question for user names: the groups of a usage report."""
PlanName = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_LENGTH)]


class NewUserBody(RequestBody):
    """A new account. Without a password, it is `invited` until its owner sets one through the link."""

    username: Username
    email: Email
    password: Annotated[Text, Field(max_length=MAX_LENGTH)] | None = Field(None, repr=False)
    scopes: ScopeList | None = None
    plan: PlanName | None = None
    display_name: Name | None = None

    def account(self) -> AccountRequest:
        """Return the account to create; an absent or null member has its default."""
        return AccountRequest(
            username=self.username,
            email=self.email,
            password=self.password,
            display_name=self.display_name,
            scopes=DEFAULT_SCOPES if self.scopes is None else self.scopes,
            plan=self.plan or DEFAULT_PLAN,
        )


class AdminUserBody(RequestBody):
    """A change of an account; absent members stay unchanged."""

    status: Literal["active", "disabled"] | None = None
    plan: PlanName | None = None
    scopes: ScopeList | None = None
    display_name: Name | None = None
    email: Email | None = None

    _kept = field_validator("status", "plan", "scopes", mode="before")(refuse_null)

    def profile(self) -> dict[str, str | None]:
        """Return the members of the profile that were sent; null removes one."""
        return {name: getattr(self, name) for name in ("display_name", "email") if name in self.model_fields_set}


class InvitationView(ResponseBody):
    """A link with which the owner of an account chooses its password; shown once."""

    url: str = Field(repr=False)
    expires_at: Timestamp


class NewUserView(ResponseBody):
    """A new account, with an invitation unless it has a password."""

    user: UserView
    invitation: InvitationView | None

    @classmethod
    def of(cls, created: CreatedAccount) -> Self:
        """Return the view of a new account."""
        link = created.invitation
        invitation = InvitationView(url=link.url, expires_at=link.expires_at) if link else None
        return cls(user=UserView.of(created.user), invitation=invitation)


class Party(ResponseBody):
    """The actor or the target of an audit log entry."""

    type: str
    id: str | None


class AuditView(ResponseBody):
    """One entry of the audit log."""

    id: UUID
    at: Timestamp
    action: str
    actor: Party
    target: Party
    ip: str | None
    request_id: str | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Return the view of an entry."""
        return cls(
            id=entry.id,
            at=entry.at,
            action=entry.action,
            actor=Party(type=entry.actor_type, id=str(entry.actor_id) if entry.actor_id else None),
            target=Party(type=entry.target_type, id=entry.target_id),
            ip=entry.address,
            request_id=entry.request_id,
            detail=entry.detail,
        )


class UsernamesQuestion(RequestBody):
    """The accounts whose user names are wanted."""

    user_ids: Annotated[list[UUID], Field(max_length=MAX_NAMES)]


class UsernamesAnswer(ResponseBody):
    """User names by the id of the account, without accounts that do not exist."""

    names: dict[UUID, str]
