"""The grants of the token endpoint (RFC 6749)."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from auth.accounts.login import Login
from auth.api_keys.ports import ApiKeys
from auth.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    OAuthInvalidRequest,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from auth.model import Origin, Session, User
from auth.revocations.service import Revocations
from auth.security import secret_tokens as tokens
from auth.security.scopes import narrow
from auth.sessions.ports import NewSession, Sessions
from auth.tokens.token_issuer import API_KEY_CLIENT, SERVICE_CLIENT_PREFIX, Minted, Minter
from parley import times
from parley.ids import new_id

DEFAULT_CLIENT = "parley-web"
KEY_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
KEY_TYPE = "urn:parley:params:oauth:token-type:api-key"
ACCESS_TYPE = "urn:ietf:params:oauth:token-type:access_token"
GRANT_TYPES = ("password", "refresh_token", "client_credentials", KEY_EXCHANGE)
MAX_CLIENT_ID = 64
WRONG_LOGIN = "Wrong username or password."
WRONG_REFRESH = "The refresh token is not valid."
WRONG_KEY = "The API key is not valid."


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long sessions last, and how refresh tokens replace each other; times in seconds."""

    lifetime: int
    idle_lifetime: int
    reuse_window: float
    successor_key: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer of the token endpoint."""

    access: Minted
    scopes: list[str]
    refresh_token: str | None = None
    refresh_expires_in: int | None = None
    issued_token_type: str | None = None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What was posted: the parameters, the client's own credentials if any, and where it comes from."""

    form: Mapping[str, str]
    client_id: str | None
    client_secret: str | None
    origin: Origin

    def need(self, name: str) -> str:
        """Return a parameter; raises OAuthInvalidRequest without it."""
        value = self.form.get(name)
        if not value:
            raise OAuthInvalidRequest(f"The parameter {name} is required.")
        return value


class Grants:
    """Turns what somebody presents into tokens."""

    def __init__(
        self,
        *,
        login: Login,
        sessions: Sessions,
        api_keys: ApiKeys,
        minter: Minter,
        revocations: Revocations,
        rules: SessionRules,
        clients: Mapping[str, str],
    ) -> None:
        """Take the stores, what makes tokens, and the secrets of our own services by name."""
        self._login, self._sessions, self._api_keys = login, sessions, api_keys
        self._minter, self._revocations, self._rules = minter, revocations, rules
        self._clients = dict(clients)
        self._by_type: dict[str, Callable[[TokenRequest], Awaitable[Granted]]] = {
            "password": self._password,
            "refresh_token": self._refresh,
            "client_credentials": self._service,
            KEY_EXCHANGE: self._exchange,
        }

    async def grant(self, request: TokenRequest) -> Granted:
        """Return tokens; raises an OAuthError, LoginThrottled, Overloaded or DependencyUnavailable."""
        grant = self._by_type.get(request.need("grant_type"))
        if grant is None:
            raise UnsupportedGrantType("This grant type is not supported.")
        return await grant(request)

    async def _password(self, request: TokenRequest) -> Granted:
        client_id = self._public_client(request)
        username, password = request.need("username"), request.need("password")
        user = await self._login.authenticate(username, password, request.origin)
        if user is None:
            raise InvalidGrant(WRONG_LOGIN)
        scopes = narrow(user.scopes, request.form.get("scope"))
        token = tokens.new_refresh_token()
        new = NewSession(
            new_id(),
            user.id,
            client_id,
            tuple(scopes),
            tokens.digest(token),
            self._rules.lifetime,
            self._rules.idle_lifetime,
        )
        session = await self._sessions.start(new, request.origin)
        if session is None:
            raise InvalidGrant(WRONG_LOGIN)
        return self._granted(user, session, scopes, token)

    async def _refresh(self, request: TokenRequest) -> Granted:
        token = request.need("refresh_token")
        if not tokens.looks_like_refresh_token(token):
            raise InvalidGrant(WRONG_REFRESH)
        digest = tokens.digest(token)
        await self._refuse_before_rotation(request, digest)
        following = tokens.successor(token, self._rules.successor_key)
        rotation = await self._sessions.rotate(
            digest,
            tokens.digest(following),
            window=self._rules.reuse_window,
            idle_lifetime=self._rules.idle_lifetime,
            origin=request.origin,
        )
        if rotation is not None and rotation.reused:
            await self._revocations.push()
        if rotation is None or rotation.reused or not rotation.user.active:
            raise InvalidGrant(WRONG_REFRESH)
        granted = set(rotation.session.scopes) & set(rotation.user.scopes)
        scopes = narrow(granted, request.form.get("scope"))
        return self._granted(rotation.user, rotation.session, scopes, following)

    async def _refuse_before_rotation(self, request: TokenRequest, digest: bytes) -> None:
        """Find what is wrong with the request itself, so that it does not use the token up."""
        if request.client_id is None and not request.form.get("scope"):
            return
        session = await self._sessions.by_token(digest)
        if session is None or (request.client_id or session.client_id) != session.client_id:
            raise InvalidGrant(WRONG_REFRESH)
        narrow(session.scopes, request.form.get("scope"))

    async def _exchange(self, request: TokenRequest) -> Granted:
        if request.need("subject_token_type") != KEY_TYPE:
            raise OAuthInvalidRequest(f"The parameter subject_token_type must be {KEY_TYPE}.")
        key = request.need("subject_token")
        found = await self._api_keys.use(tokens.digest(key)) if tokens.valid_api_key(key) else None
        if found is None:
            raise InvalidGrant(WRONG_KEY)
        stored, user = found
        scopes = narrow(set(stored.scopes) & set(user.scopes), request.form.get("scope"))
        access = self._minter.for_user(
            user, session_id=stored.id, client_id=API_KEY_CLIENT, scopes=scopes, not_after=stored.expires_at
        )
        return Granted(access, scopes, issued_token_type=ACCESS_TYPE)

    async def _service(self, request: TokenRequest) -> Granted:
        client_id = request.client_id or ""
        name = client_id.removeprefix(SERVICE_CLIENT_PREFIX)
        # An unknown client is compared too, with a secret nobody has, so that names cannot be found out by timing.
        known = self._clients.get(name) or secrets.token_urlsafe()
        if not hmac.compare_digest((request.client_secret or "").encode(), known.encode()) or name == client_id:
            raise InvalidClient("Unknown client or wrong secret.")
        if request.form.get("scope", "internal") != "internal":
            raise InvalidScope("Services get the scope internal only.")
        return Granted(self._minter.for_service(name), ["internal"])

    def _public_client(self, request: TokenRequest) -> str:
        client_id = request.client_id or DEFAULT_CLIENT
        if len(client_id) > MAX_CLIENT_ID or not client_id.isascii() or not client_id.isprintable():
            raise OAuthInvalidRequest("The parameter client_id is malformed.")
        if client_id == API_KEY_CLIENT or client_id.removeprefix(SERVICE_CLIENT_PREFIX) in self._clients:
            raise UnauthorizedClient("This client may not log people in.")
        return client_id

    def _granted(self, user: User, session: Session, scopes: list[str], refresh_token: str) -> Granted:
        access = self._minter.for_user(
            user,
            session_id=session.id,
            client_id=session.client_id,
            scopes=scopes,
            auth_time=session.auth_time,
            not_after=session.expires_at,
        )
        left = _seconds_until(min(session.expires_at, session.idle_expires_at))
        return Granted(access, scopes, refresh_token, left)


def _seconds_until(moment: datetime) -> int:
    return max(0, round((moment - times.now()).total_seconds()))
