"""The bodies of auth's requests and responses, as the contract shows them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from auth import names
from auth.model import ApiKey, AuditEntry, Erasure, Session, Status, User
from auth.passwords import MAX_LENGTH
from auth.scopes import FOR_KEYS, GRANTABLE
from parley.problems import FieldValueError
from parley.schemas import Request, Response, Text
from parley.times import Timestamp

MAX_DISPLAY_NAME = 100
MAX_ASKED = 1000

Username = Annotated[Text, Field(max_length=256), AfterValidator(names.username)]
Email = Annotated[Text, Field(max_length=512), AfterValidator(names.email)]
Password = Annotated[Text, Field(max_length=MAX_LENGTH, repr=False)]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise FieldValueError("blank", "Must not be blank.")
    return text


def _written(value: object) -> object:
    if not isinstance(value, str) or "T" not in value.upper():
        raise FieldValueError("invalid_format", "Must be a time like 2026-11-22T10:00:00Z.")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise FieldValueError("invalid_format", "Must be a time like 2026-11-22T10:00:00Z.") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_utc)]
"""A time as clients write it: with a zone, and never a number."""


def _scopes_of(allowed: frozenset[str]) -> AfterValidator:
    def check(found: list[str]) -> list[str]:
        if not set(found) <= allowed:
            raise FieldValueError("unknown_scope", f"Only {', '.join(sorted(allowed))}.")
        return sorted(set(found))

    return AfterValidator(check)


Name = Annotated[Text, Field(min_length=1, max_length=MAX_DISPLAY_NAME), AfterValidator(_not_blank)]
ScopeList = Annotated[list[Text], Field(max_length=len(GRANTABLE)), _scopes_of(GRANTABLE)]
KeyScopes = Annotated[list[Text], Field(min_length=1, max_length=len(FOR_KEYS)), _scopes_of(FOR_KEYS)]


class RegisterBody(Request):
    """A new account."""

    username: Username
    email: Email | None = None
    password: Password
    display_name: Name | None = None


class ProfileBody(Request):
    """What people change about themselves; a member that is absent stays."""

    username: Username | None = None
    email: Email | None = None
    display_name: Name | None = None

    def changes(self) -> dict[str, str | None]:
        """Return what was sent; raises FieldValueError for a name that cannot be empty."""
        sent: dict[str, str | None] = {name: getattr(self, name) for name in self.model_fields_set}
        if sent.get("username", "") is None:
            del sent["username"]
        return sent


class PasswordBody(Request):
    """A change of password."""

    current_password: Password
    new_password: Password


class ResetBody(Request):
    """A new password for somebody who forgot the old one."""

    reset_token: Annotated[Text, Field(max_length=256, repr=False)]
    new_password: Password


class ResetRequestBody(Request):
    """Where to mail a link for a new password."""

    email: Email


class ResetRequestView(Response):
    """Nothing: whether there is such an account is nobody's business."""


class ApiKeyBody(Request):
    """A new API key."""

    name: Name
    scopes: KeyScopes = Field(default_factory=lambda: ["chat:write"])
    expires_at: Moment | None = None


class AdminUserBody(Request):
    """What administrators change; a member that is absent stays."""

    status: Status | None = None
    plan: Annotated[Text, Field(min_length=1, max_length=64)] | None = None
    scopes: ScopeList | None = None


class RevocationQuestion(Request):
    """Sessions, and users with the second their token was issued in."""

    sessions: list[Text] = Field(default_factory=list, max_length=MAX_ASKED)
    users: dict[Text, int] = Field(default_factory=dict, max_length=MAX_ASKED)


class RevocationAnswer(Response):
    """Those among them that are revoked."""

    revoked_sessions: list[str]
    revoked_users: list[str]


class UserView(Response):
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


class SessionView(Response):
    """A log-in on one device."""

    id: UUID
    current: bool
    client_id: str
    user_agent: str | None
    ip: str | None
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp

    @classmethod
    def of(cls, session: Session, current: str) -> Self:
        """Return the view of a session; ``current`` is the id of the caller's own."""
        return cls(
            id=session.id,
            current=str(session.id) == current,
            client_id=session.client_id,
            user_agent=session.user_agent,
            ip=session.address,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
        )


class ApiKeyView(Response):
    """An API key; ``key`` is shown once, when it was just made."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    key: str | None = Field(repr=False)

    @classmethod
    def of(cls, stored: ApiKey, key: str | None = None) -> Self:
        """Return the view of a key."""
        return cls(
            id=stored.id,
            name=stored.name,
            prefix=stored.prefix,
            scopes=list(stored.scopes),
            created_at=stored.created_at,
            expires_at=stored.expires_at,
            last_used_at=stored.last_used_at,
            key=key,
        )


class ErasureView(Response):
    """How far an erasure is."""

    id: str
    status: Literal["running", "completed"]
    requested_at: Timestamp
    completed_at: Timestamp | None
    services: dict[str, Literal["pending", "confirmed"]]

    @classmethod
    def of(cls, erasure: Erasure) -> Self:
        """Return the view of an erasure."""
        return cls(
            id=erasure.id,
            status="completed" if erasure.completed_at else "running",
            requested_at=erasure.requested_at,
            completed_at=erasure.completed_at,
            services=dict(erasure.services),
        )


class ResetView(Response):
    """A token that lets somebody set a new password; shown once."""

    reset_token: str = Field(repr=False)
    expires_at: Timestamp


class Party(Response):
    """Who did something, or what it was done to."""

    type: str
    id: str | None


class AuditView(Response):
    """One line of the audit log."""

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


class TokenView(Response):
    """The answer of the token endpoint; refresh members only for people who logged in."""

    access_token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a kind
    expires_in: int
    refresh_token: str | None = Field(None, repr=False)
    refresh_expires_in: int | None = None
    scope: str
    issued_token_type: str | None = None


class TokenErrorView(Response):
    """An error in the form of RFC 6749."""

    error: str
    error_description: str


class IntrospectionView(Response):
    """What RFC 7662 tells of a token; only ``active`` when it is not."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    username: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None
    sid: str | None = None


class JwksView(Response):
    """The public halves of the signing keys (RFC 7517)."""

    keys: list[dict[str, str]]


class MetadataView(Response):
    """What OAuth2 clients need to know (RFC 8414)."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    scopes_supported: list[str]
