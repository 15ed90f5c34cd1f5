-- outside a transaction
-- A page of deliveries reads no others, with a status and without one.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_by_status ON deliveries (webhook_id, status, id);
-- The new index has the same columns. Lists of the previous release find the deliveries of a webhook by it, and sort them.
DROP INDEX CONCURRENTLY IF EXISTS deliveries_of_webhook;
