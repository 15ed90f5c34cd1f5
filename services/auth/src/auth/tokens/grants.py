"""Grants of the token endpoint (RFC 6749): password, refresh token, client credentials, API key exchange."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from auth.accounts.login import LoginService
from auth.accounts.model import User
from auth.api_keys.store import ApiKeyStore
from auth.audit.model import RequestOrigin
from auth.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    OAuthInvalidRequest,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from auth.mail.notices import SecurityEvent, SecurityNotices
from auth.revocations.service import RevocationService
from auth.security import secret_tokens
from auth.security.scopes import narrow
from auth.sessions.model import NewSession, Session
from auth.sessions.store import SessionStore
from auth.tokens.token_issuer import API_KEY_CLIENT, SERVICE_CLIENT_PREFIX, IssuedToken, TokenIssuer
from parley import times
from parley.ids import new_id

DEFAULT_CLIENT_ID = "parley-web"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, as the next two
API_KEY_TOKEN_TYPE = "urn:parley:params:oauth:token-type:api-key"  # noqa: S105
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
GRANT_TYPES = ("password", "refresh_token", "client_credentials", TOKEN_EXCHANGE)
MAX_CLIENT_ID = 64
WRONG_LOGIN = "Wrong username or password."
WRONG_REFRESH = "The refresh token is not valid."
WRONG_KEY = "The API key is not valid."


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    """Lifetimes of sessions in seconds, and the key that derives the successors of refresh tokens."""

    lifetime: int
    idle_lifetime: int
    reuse_window: float
    successor_key: bytes


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """The result of a grant: an access token, and a refresh token if a person logged in."""

    access: IssuedToken
    scopes: list[str]
    refresh_token: str | None = None
    refresh_expires_in: int | None = None
    issued_token_type: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token endpoint: form parameters, client credentials and origin.

    ``external``: it came through the gateway, so it is not from one of our services.
    """

    form: Mapping[str, str]
    client_id: str | None
    client_secret: str | None
    origin: RequestOrigin
    external: bool = False

    def require(self, name: str) -> str:
        """Return a parameter; raises OAuthInvalidRequest if it is missing."""
        value = self.form.get(name)
        if not value:
            raise OAuthInvalidRequest(f"The parameter {name} is required.")
        return value


class GrantService:
    """Exchanges credentials for tokens; ``clients`` are the secrets of our own services by name."""

    def __init__(
        self,
        *,
        login: LoginService,
        sessions: SessionStore,
        api_keys: ApiKeyStore,
        issuer: TokenIssuer,
        revocations: RevocationService,
        lifetimes: SessionLifetimes,
        clients: Mapping[str, tuple[str, ...]],
        notices: SecurityNotices,
    ) -> None:
        self._login, self._sessions, self._api_keys = login, sessions, api_keys
        self._issuer, self._revocations, self._lifetimes = issuer, revocations, lifetimes
        self._clients, self._notices = dict(clients), notices
        self._by_type: dict[str, Callable[[TokenRequest], Awaitable[TokenGrant]]] = {
            "password": self._password,
            "refresh_token": self._refresh_token,
            "client_credentials": self._client_credentials,
            TOKEN_EXCHANGE: self._token_exchange,
        }

    async def grant(self, request: TokenRequest) -> TokenGrant:
        """Return tokens for a request; raises OAuthError, LoginThrottled, Overloaded or DependencyUnavailable."""
        grant = self._by_type.get(request.require("grant_type"))
        if grant is None:
            raise UnsupportedGrantType(f"This grant type is not supported. Use one of: {', '.join(GRANT_TYPES)}.")
        return await grant(request)

    async def _password(self, request: TokenRequest) -> TokenGrant:
        client_id = self._public_client(request)
        username, password = request.require("username"), request.require("password")
        user = await self._login.authenticate(username, password, request.origin)
        if user is None:
            raise InvalidGrant(WRONG_LOGIN)
        wanted = narrow(user.scopes, request.form.get("scope"))
        token = secret_tokens.new_refresh_token()
        new = NewSession(
            id=new_id(),
            user_id=user.id,
            client_id=client_id,
            scopes=tuple(wanted),
            token_digest=secret_tokens.digest(token),
            lifetime=self._lifetimes.lifetime,
            idle_lifetime=self._lifetimes.idle_lifetime,
            password_hash=user.password_hash,
        )
        session = await self._sessions.start(new, request.origin)
        if session is None:
            raise InvalidGrant(WRONG_LOGIN)
        if session.new_device:
            self._notices.send(SecurityEvent.NEW_DEVICE, user.recipient(), request.origin)
        # The account may have lost scopes while the password was checked. The token has the scopes of the session, and
        # its time of issue is after that change, which voids all earlier tokens.
        return self._granted(replace(user, not_before=session.not_before), session, list(session.scopes), token)

    async def _refresh_token(self, request: TokenRequest) -> TokenGrant:
        token = request.require("refresh_token")
        if not secret_tokens.looks_like_refresh_token(token):
            raise InvalidGrant(WRONG_REFRESH)
        digest = secret_tokens.digest(token)
        await self._refuse_before_rotation(request, digest)
        next_token = secret_tokens.successor(token, self._lifetimes.successor_key)
        rotation = await self._sessions.rotate(
            digest,
            secret_tokens.digest(next_token),
            window=self._lifetimes.reuse_window,
            idle_lifetime=self._lifetimes.idle_lifetime,
            origin=request.origin,
        )
        if rotation is not None and rotation.reused:
            await self._revocations.push()
        if rotation is None or rotation.reused or not rotation.user.active:
            raise InvalidGrant(WRONG_REFRESH)
        granted = set(rotation.session.scopes) & set(rotation.user.scopes)
        scopes = narrow(granted, request.form.get("scope"))
        return self._granted(rotation.user, rotation.session, scopes, next_token)

    async def _refuse_before_rotation(self, request: TokenRequest, digest: bytes) -> None:
        """Refuse a wrong client or scope before the refresh token is used."""
        if request.client_id is None and not request.form.get("scope"):
            return
        session = await self._sessions.by_token(digest)
        if session is None or (request.client_id or session.client_id) != session.client_id:
            raise InvalidGrant(WRONG_REFRESH)
        narrow(session.scopes, request.form.get("scope"))

    async def _token_exchange(self, request: TokenRequest) -> TokenGrant:
        if request.require("subject_token_type") != API_KEY_TOKEN_TYPE:
            raise OAuthInvalidRequest(f"The parameter subject_token_type must be {API_KEY_TOKEN_TYPE}.")
        key = request.require("subject_token")
        found = await self._api_keys.use(secret_tokens.digest(key)) if secret_tokens.valid_api_key(key) else None
        if found is None:
            raise InvalidGrant(WRONG_KEY)
        stored, user = found
        scopes = narrow(set(stored.scopes) & set(user.scopes), request.form.get("scope"))
        access = self._issuer.for_user(
            user, session_id=stored.id, client_id=API_KEY_CLIENT, scopes=scopes, not_after=stored.expires_at
        )
        return TokenGrant(access, scopes, issued_token_type=ACCESS_TOKEN_TYPE)

    async def _client_credentials(self, request: TokenRequest) -> TokenGrant:
        if request.external:
            raise UnauthorizedClient("Services request their tokens from auth directly, not through the gateway.")
        client_id = request.client_id or ""
        name = client_id.removeprefix(SERVICE_CLIENT_PREFIX)
        # An unknown client is compared with a random secret, so that response times do not reveal client names.
        known = self._clients.get(name) or (secrets.token_urlsafe(),)
        if not _is_one_of(request.client_secret or "", known) or name == client_id:
            raise InvalidClient("The client is unknown or its secret is wrong.")
        if request.form.get("scope", "internal") != "internal":
            raise InvalidScope("Services can only request the scope internal.")
        return TokenGrant(self._issuer.for_service(name), ["internal"])

    def _public_client(self, request: TokenRequest) -> str:
        client_id = request.client_id or DEFAULT_CLIENT_ID
        if len(client_id) > MAX_CLIENT_ID or not client_id.isascii() or not client_id.isprintable():
            raise OAuthInvalidRequest(
                f"The parameter client_id must be at most {MAX_CLIENT_ID} printable ASCII characters."
            )
        if client_id == API_KEY_CLIENT or client_id.removeprefix(SERVICE_CLIENT_PREFIX) in self._clients:
            raise UnauthorizedClient("This client may not use the grant type password.")
        return client_id

    def _granted(self, user: User, session: Session, scopes: list[str], refresh_token: str) -> TokenGrant:
        access = self._issuer.for_user(
            user,
            session_id=session.id,
            client_id=session.client_id,
            scopes=scopes,
            auth_time=session.auth_time,
            not_after=session.expires_at,
        )
        remaining = _seconds_until(min(session.expires_at, session.idle_expires_at))
        return TokenGrant(access, scopes, refresh_token, remaining)


def _seconds_until(moment: datetime) -> int:
    return max(0, round((moment - times.now()).total_seconds()))


def _is_one_of(secret: str, known: tuple[str, ...]) -> bool:
    return any(hmac.compare_digest(secret.encode(), each.encode()) for each in known)
