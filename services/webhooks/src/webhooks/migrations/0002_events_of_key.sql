-- outside a transaction
-- A deletion of items changes the stored events of its conversation.
CREATE INDEX CONCURRENTLY IF NOT EXISTS events_of_key ON events (partition_key);
