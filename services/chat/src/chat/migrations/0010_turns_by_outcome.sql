-- outside a transaction
-- Few turns fail or are cancelled: a page of those of a user reads no other turn.
CREATE INDEX CONCURRENTLY IF NOT EXISTS turns_by_outcome ON turns (user_id, status, id)
    WHERE status NOT IN ('running', 'completed');
