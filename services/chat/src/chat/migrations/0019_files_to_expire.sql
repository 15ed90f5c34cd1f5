-- outside a transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS files_to_expire ON files (expires_at)
    WHERE status = 'ready' AND expires_at IS NOT NULL;
