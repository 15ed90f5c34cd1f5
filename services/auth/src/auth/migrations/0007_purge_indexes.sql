-- outside a transaction
-- What maintenance looks for each minute: sessions that are over by any of their three times, expired tokens, and erasures
-- that are not complete.
CREATE INDEX CONCURRENTLY IF NOT EXISTS sessions_ended ON sessions (least(expires_at, idle_expires_at, revoked_at));
CREATE INDEX CONCURRENTLY IF NOT EXISTS password_resets_over ON password_resets (expires_at);
CREATE INDEX CONCURRENTLY IF NOT EXISTS email_verifications_over ON email_verifications (expires_at);
CREATE INDEX CONCURRENTLY IF NOT EXISTS erasures_pending ON erasures (asked_at) WHERE completed_at IS NULL;
-- No statement uses it.
DROP INDEX CONCURRENTLY IF EXISTS sessions_over;
