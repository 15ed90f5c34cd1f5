"""Contract of the Redis log store."""

from collections.abc import AsyncIterator

import pytest

from chat.settings import ChatSettings
from chat.storage.redis_turn_logs import RedisLogStore, open_log_store
from chat_testing.log_store_contract import LogStoreContract
from parley.config.settings import load
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration


class TestRedisLogStore(LogStoreContract):
    @pytest.fixture
    async def store(self, backends: SharedBackends) -> AsyncIterator[RedisLogStore]:
        settings = load(ChatSettings, database_url="postgresql://unused", redis_url=await backends.redis_url())
        async with open_log_store(settings) as found:
            yield found
