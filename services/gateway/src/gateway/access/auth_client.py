"""Client for auth: exchange of API keys for tokens, and lookup of revoked sessions."""

import time
from typing import Any
from urllib.parse import urlencode

import orjson
from pydantic import SecretStr

from gateway.errors import UpstreamUnavailable
from gateway.upstream.failures import ConnectFailed, ConnectionBroken, EndpointFrozen, UpstreamFailure
from gateway.upstream.pool import Pool
from parley import errors

TIMEOUT = 3.0
MAX_RESPONSE = 1_048_576
KEY_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
API_KEY_TYPE = "urn:parley:params:oauth:token-type:api-key"
FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"
RENEW_BEFORE = 60.0
_OK, _SERVER_ERROR, _TOO_MANY_REQUESTS = 200, 500, 429


class AuthClient:
    """Sends the gateway's own requests to auth."""

    def __init__(self, pool: Pool, secret: SecretStr | None) -> None:
        """Without the gateway's client ``secret``, revocations cannot be looked up."""
        self._pool, self._secret = pool, secret
        self._token, self._renew_at = "", 0.0

    async def exchange_key(self, key: str) -> str:
        """Return an access token for an API key. Raise ApiKeyInvalid or DependencyUnavailable."""
        form = {"grant_type": KEY_GRANT, "subject_token": key, "subject_token_type": API_KEY_TYPE}
        status, result = await self._post("/api/v1/auth/token", urlencode(form).encode(), FORM)
        if status == _OK and isinstance(result.get("access_token"), str):
            return str(result["access_token"])
        if status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
            raise UpstreamUnavailable("API keys cannot be checked right now. Try again later.")
        raise errors.ApiKeyInvalid

    async def look_up_revocations(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return which sessions and users were revoked. Raise DependencyUnavailable."""
        token = await self._service_token()
        status, result = await self._post("/internal/revocations/check", orjson.dumps(body), JSON, token)
        if status != _OK:
            self._token = ""  # nosec B105
            raise UpstreamUnavailable
        return result

    async def _service_token(self) -> str:
        if self._secret is None:
            raise UpstreamUnavailable
        if time.monotonic() >= self._renew_at or not self._token:
            form = {
                "grant_type": "client_credentials",
                "client_id": "parley-gateway",
                "client_secret": self._secret.get_secret_value(),
                "scope": "internal",
            }
            status, result = await self._post("/api/v1/auth/token", urlencode(form).encode(), FORM)
            if status != _OK:
                raise UpstreamUnavailable
            self._token = str(result["access_token"])
            self._renew_at = time.monotonic() + float(result["expires_in"]) - RENEW_BEFORE
        return self._token

    async def _post(self, path: str, body: bytes, media_type: bytes, token: str = "") -> tuple[int, dict[str, Any]]:
        """Send a request, and once more if its connection failed: all of these requests may be repeated."""
        try:
            try:
                return await self._send(path, body, media_type, token)
            except (ConnectFailed, ConnectionBroken, EndpointFrozen) as failure:
                if not self._may_repeat(failure):
                    raise
            return await self._send(path, body, media_type, token)
        except UpstreamFailure:
            raise UpstreamUnavailable from None

    def _may_repeat(self, failure: UpstreamFailure) -> bool:
        return failure.retry if isinstance(failure, EndpointFrozen) else self._pool.retries.take()

    async def _send(self, path: str, body: bytes, media_type: bytes, token: str) -> tuple[int, dict[str, Any]]:
        endpoint, connection = await self._pool.acquire(stream=False)
        try:
            credential = b"authorization: Bearer %b\r\n" % token.encode() if token else b""
            head = b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n" % (
                path.encode(),
                endpoint.name,
                media_type,
                credential,
                len(body),
            )
            connection.start_request("POST", head + body, timeout=TIMEOUT, repeatable=True)
            status = await connection.read_head()
            received = bytearray()
            while data := await connection.read_body(idle_timeout=TIMEOUT):
                received += data
                if len(received) > MAX_RESPONSE:
                    raise ConnectionBroken
            self._pool.record_response(endpoint, connection)
            return status, _json_object(bytes(received))
        except UpstreamFailure as failure:
            if not isinstance(failure, ConnectFailed):
                self._pool.record_failure(endpoint, failure)
            raise
        finally:
            self._pool.release(endpoint, connection)


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
