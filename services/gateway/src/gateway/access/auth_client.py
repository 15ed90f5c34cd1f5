"""What the gateway itself asks of auth: an API key's token, and revocations while Redis is away."""

import time
from typing import Any
from urllib.parse import urlencode

import orjson
from pydantic import SecretStr

from gateway.errors import UpstreamUnavailable
from gateway.upstream.connection import Broken, Failure, Unreachable
from gateway.upstream.pool import Pool
from parley import errors

TIMEOUT = 3.0
MAX_ANSWER = 1_048_576
KEY_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
KEY_TYPE = "urn:parley:params:oauth:token-type:api-key"
FORM = b"application/x-www-form-urlencoded"
RENEW_BEFORE = 60.0
_OK, _SERVER_ERROR, _TOO_MANY = 200, 500, 429


class AuthClient:
    """Speaks to auth over the gateway's own pool."""

    def __init__(self, pool: Pool, secret: SecretStr | None) -> None:
        """Take auth's pool, and the gateway's client secret."""
        self._pool, self._secret = pool, secret
        self._token, self._token_until = "", 0.0

    async def exchange_key(self, key: str) -> str:
        """Return an access token for an API key; raises ApiKeyInvalid or DependencyUnavailable."""
        form = {"grant_type": KEY_GRANT, "subject_token": key, "subject_token_type": KEY_TYPE}
        status, answer = await self._post("/api/v1/auth/token", urlencode(form).encode(), FORM)
        if status == _OK and isinstance(answer.get("access_token"), str):
            return str(answer["access_token"])
        if status >= _SERVER_ERROR or status == _TOO_MANY:
            raise UpstreamUnavailable("API keys cannot be checked right now.")
        raise errors.ApiKeyInvalid

    async def ask_revocations(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return auth's answer to which sessions were revoked; raises DependencyUnavailable."""
        token = await self._service_token()
        status, answer = await self._post(
            "/internal/revocations/check", orjson.dumps(question), b"application/json", token
        )
        if status != _OK:
            self._token = ""
            raise UpstreamUnavailable
        return answer

    async def _service_token(self) -> str:
        if self._secret is None:
            raise UpstreamUnavailable
        if time.monotonic() >= self._token_until or not self._token:
            form = {
                "grant_type": "client_credentials",
                "client_id": "parley-gateway",
                "client_secret": self._secret.get_secret_value(),
                "scope": "internal",
            }
            status, answer = await self._post("/api/v1/auth/token", urlencode(form).encode(), FORM)
            if status != _OK:
                raise UpstreamUnavailable
            self._token = str(answer["access_token"])
            self._token_until = time.monotonic() + float(answer["expires_in"]) - RENEW_BEFORE
        return self._token

    async def _post(self, path: str, body: bytes, media_type: bytes, token: str = "") -> tuple[int, dict[str, Any]]:
        try:
            return await self._send(path, body, media_type, token)
        except Failure:
            raise UpstreamUnavailable from None

    async def _send(self, path: str, body: bytes, media_type: bytes, token: str) -> tuple[int, dict[str, Any]]:
        address, connection = await self._pool.acquire(stream=False)
        try:
            credential = b"authorization: Bearer %b\r\n" % token.encode() if token else b""
            head = b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n" % (
                path.encode(),
                address.name,
                media_type,
                credential,
                len(body),
            )
            connection.start("POST", head + body, timeout=TIMEOUT)
            status = await connection.head()
            found = bytearray()
            while data := await connection.read(idle=TIMEOUT):
                found += data
                if len(found) > MAX_ANSWER:
                    raise Broken
            self._pool.note_answer(address, connection)
            return status, _object(bytes(found))
        except Failure as failure:
            if not isinstance(failure, Unreachable):
                self._pool.note_failure(address, failure)
            raise
        finally:
            self._pool.release(address, connection)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
