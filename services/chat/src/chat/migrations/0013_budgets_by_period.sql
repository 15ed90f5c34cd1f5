-- outside a transaction
-- Old budgets are purged by their period, which never changes: reservations update the row without touching this index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS budgets_by_period ON budgets (period);
