"""Rules of webhooks: who may see and change which, their number, URLs and secrets."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from parley.errors import NotFound, ValidationFailed
from parley.field_errors import FieldError
from parley.ids import new_id
from parley.security.identity import Principal
from parley.storage.postgres import Connection
from parley.times import now
from parley.web import cursors
from parley.web.schemas import Page
from webhooks.endpoints.idempotency import KeyedRequest, StoredResponses
from webhooks.endpoints.model import MAX_OWN_WEBHOOKS, MAX_SHARED_WEBHOOKS, TooManyWebhooksError, Webhook
from webhooks.endpoints.postgres import PostgresWebhookStore
from webhooks.endpoints.schemas import WebhookBody, WebhookPatch, WebhookSecretView, WebhookView
from webhooks.outgoing.signing import WebhookSecrets, new_secret, shown
from webhooks.outgoing.targets import TargetPolicy
from webhooks.scopes import SCOPE_ALL, SCOPE_OWN

TOO_MANY = {
    "own": f"A user has at most {MAX_OWN_WEBHOOKS} webhooks. Delete one that is no longer used.",
    "all": f"There are at most {MAX_SHARED_WEBHOOKS} webhooks for all users. Delete one that is no longer used.",
}


class WebhookService:
    """Webhooks of the caller, and for administrators those for all users."""

    def __init__(
        self,
        store: PostgresWebhookStore,
        responses: StoredResponses,
        secrets: WebhookSecrets,
        targets: TargetPolicy,
        *,
        bind: Callable[[], Awaitable[None]],
        wake: Callable[[], None],
    ) -> None:
        """Await ``bind`` before a webhook is stored or activated; call ``wake`` when the sender has new work."""
        self._store, self._responses, self._secrets, self._targets = store, responses, secrets, targets
        self._bind, self._wake = bind, wake

    async def create(
        self, principal: Principal, body: WebhookBody, request: KeyedRequest | None
    ) -> tuple[WebhookSecretView, bool]:
        """Create a webhook, and return it with its secret and False.

        A repeated request gets the first result and True.
        """
        principal.require(SCOPE_ALL if body.scope == "all" else SCOPE_OWN)
        secret = new_secret()
        webhook = Webhook(
            id=new_id(),
            user_id=principal.user_id,
            scope=body.scope,
            url=self._valid_url(body.url),
            events=tuple(body.events),
            description=body.description,
            ordered=body.ordered,
            status="active",
            disabled_reason=None,
            created_at=now(),
        )

        async def add(connection: Connection) -> WebhookSecretView:
            if not await self._store.add(connection, webhook, self._secrets.encrypt(secret, webhook.id)):
                raise NotFound
            return WebhookSecretView.with_secret(webhook, shown(secret))

        await self._bind()
        try:
            return await self._responses.once(request, add)
        except TooManyWebhooksError:
            raise ValidationFailed([FieldError("", "too_many", TOO_MANY[body.scope])]) from None

    async def page(self, principal: Principal, cursor: str | None, limit: int) -> Page[WebhookView]:
        """Return a page of webhooks, the newest first."""
        kind = f"webhooks {principal.user_id}"
        (before,) = cursors.decode(kind, cursor, (UUID,)) if cursor is not None else (None,)
        found = await self._store.list(principal.user_id, shared=sees_shared(principal), before=before, limit=limit + 1)
        shown_now = found[:limit]
        following = cursors.encode(kind, (str(shown_now[-1].id),)) if len(found) > limit else None
        return Page(data=[WebhookView.of(each) for each in shown_now], next_cursor=following)

    async def get(self, principal: Principal, webhook_id: UUID) -> Webhook:
        """Return a webhook; raises NotFound."""
        found = await self._store.find(principal.user_id, webhook_id, shared=sees_shared(principal))
        if found is None:
            raise NotFound
        return found

    async def patch(self, principal: Principal, webhook_id: UUID, body: WebhookPatch) -> Webhook:
        """Change a webhook and return it; raises NotFound or ValidationFailed."""
        changes = body.model_dump(include=body.model_fields_set)
        if "url" in changes:
            changes["url"] = self._valid_url(changes["url"])
        if "status" in changes:
            await self._bind()
        if not await self._store.patch(principal.user_id, webhook_id, changes, shared=sees_shared(principal)):
            raise NotFound
        self._wake()
        return await self.get(principal, webhook_id)

    async def delete(self, principal: Principal, webhook_id: UUID) -> None:
        """Delete a webhook with its delivery log; raises NotFound."""
        if not await self._store.delete(principal.user_id, webhook_id, shared=sees_shared(principal)):
            raise NotFound

    async def rotate_secret(
        self, principal: Principal, webhook_id: UUID, request: KeyedRequest | None
    ) -> tuple[WebhookSecretView, bool]:
        """Replace the secret, and return the webhook with the new one and False.

        A repeated request gets the first result and True. Raises NotFound.
        """
        secret, shared = new_secret(), sees_shared(principal)
        encrypted = self._secrets.encrypt(secret, webhook_id)

        async def rotate(connection: Connection) -> WebhookSecretView:
            webhook = await self._store.rotate(connection, principal.user_id, webhook_id, encrypted, shared=shared)
            if webhook is None:
                raise NotFound
            return WebhookSecretView.with_secret(webhook, shown(secret))

        return await self._responses.once(request, rotate)

    def _valid_url(self, text: str) -> str:
        try:
            return str(self._targets.read_url(text))
        except ValueError as error:
            raise ValidationFailed([FieldError("/url", "invalid_url", str(error))]) from None


def sees_shared(principal: Principal) -> bool:
    """Return whether the caller may see and change webhooks for all users."""
    return SCOPE_ALL in principal.scopes
