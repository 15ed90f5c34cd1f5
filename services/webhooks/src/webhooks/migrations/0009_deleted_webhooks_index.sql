-- outside a transaction
-- The purge finds deleted webhooks without reading the others.
CREATE INDEX CONCURRENTLY IF NOT EXISTS webhooks_deleted ON webhooks (deleted_at) WHERE deleted_at IS NOT NULL;
