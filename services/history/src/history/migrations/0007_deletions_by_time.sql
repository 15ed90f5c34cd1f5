-- outside a transaction
-- Chat compares its conversations with the deletions, in the order of their time.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_tombstones_by_time ON conversation_tombstones (deleted_at, conversation_id);
