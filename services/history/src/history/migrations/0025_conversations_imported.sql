-- outside a transaction
-- A deleted conversation counts until it is purged, so it is in the index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversations_imported ON conversations (user_id) INCLUDE (imported_bytes)
    WHERE imported_bytes > 0;
