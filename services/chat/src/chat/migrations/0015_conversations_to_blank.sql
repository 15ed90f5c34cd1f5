-- outside a transaction
-- Deleted conversations are few until they are blanked.
CREATE INDEX CONCURRENTLY IF NOT EXISTS conversations_to_blank ON conversations (id)
    WHERE deleted_at IS NOT NULL AND blanked_at IS NULL;
