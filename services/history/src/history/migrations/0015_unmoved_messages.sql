-- outside a transaction
-- Messages of an earlier release that are not in the search index yet: searches read those of the person.
CREATE INDEX CONCURRENTLY IF NOT EXISTS messages_unmoved ON messages (user_id, id) WHERE search IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS messages_search;
