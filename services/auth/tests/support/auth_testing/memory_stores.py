"""All stores of auth over one in-memory database."""

from auth.container import AuthStores
from auth_testing.memory_accounts import MemoryAccountStore, MemoryPasswordResetStore
from auth_testing.memory_credentials import MemoryApiKeyStore, MemorySessionStore
from auth_testing.memory_database import MemoryDatabase
from auth_testing.memory_erasure import MemoryAuditLog, MemoryErasureStore
from auth_testing.memory_revocations import MemoryRevocationStore
from auth_testing.memory_verifications import MemoryEmailVerificationStore


def memory_stores(database: MemoryDatabase) -> AuthStores:
    """Return stores that share ``database``."""
    return AuthStores(
        accounts=MemoryAccountStore(database),
        sessions=MemorySessionStore(database),
        api_keys=MemoryApiKeyStore(database),
        erasures=MemoryErasureStore(database),
        password_resets=MemoryPasswordResetStore(database),
        email_verifications=MemoryEmailVerificationStore(database),
        audit=MemoryAuditLog(database),
        revocations=MemoryRevocationStore(database),
    )
