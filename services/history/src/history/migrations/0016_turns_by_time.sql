-- outside a transaction
-- Administrators sum the turns of all users in a range of days.
CREATE INDEX CONCURRENTLY IF NOT EXISTS turns_by_time ON turns (finished_at) INCLUDE (user_id, model, provider);
