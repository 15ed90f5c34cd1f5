-- outside a transaction
-- The running turns had two indexes: turns_running, by conversation, and this one. To find the running turn of a conversation,
-- Postgres read all entries of this one, because it looked as small. What needs the running turns of a runner reads all of them.
DROP INDEX CONCURRENTLY IF EXISTS turns_of_runner;
