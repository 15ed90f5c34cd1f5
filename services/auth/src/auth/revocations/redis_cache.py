"""Redis cache of the revocations, read by gateways."""

import math
import time
from collections.abc import Sequence

from auth.revocations.model import Revocation
from auth.revocations.store import CacheState
from parley.storage.redis import RedisClient

COMPLETE_KEY = "parley:revocations"


class RedisRevocationCache:
    """Copies revocations to Redis; raises the errors of ``parley.storage.redis.REDIS_UNAVAILABLE``."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def state(self) -> CacheState:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.exists(COMPLETE_KEY)
        pipeline.info("server")
        marked, server = await pipeline.execute()
        return CacheState(str(server["run_id"]), bool(marked))

    async def write(self, revocations: Sequence[Revocation]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for revocation in revocations:
            seconds = math.ceil(revocation.expires_at.timestamp() - time.time())
            if seconds > 0:
                pipeline.set(_key(revocation), revocation.not_before, ex=seconds)
        if len(pipeline):
            await pipeline.execute()

    async def complete(self) -> None:
        await self._client.set(COMPLETE_KEY, "1")


def _key(revocation: Revocation) -> str:
    prefix = "parley:revoked" if revocation.kind == "session" else "parley:revoked-user"
    return f"{prefix}:{revocation.subject}"
