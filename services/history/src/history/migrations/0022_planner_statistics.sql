-- Postgres makes a generic plan for the average. Where a few users have most of the rows, that average is so large that
-- walking through the rows of everybody looks cheap: a user with few rows or none would wait for all of them. A plan
-- for a hundred rows takes the index of the user. See docs/query-plans.md.
ALTER TABLE conversation_tombstones ALTER COLUMN user_id SET (n_distinct = -0.01);
ALTER TABLE outbox ALTER COLUMN partition_key SET (n_distinct = -0.01);
ALTER TABLE turns ALTER COLUMN conversation_id SET (n_distinct = -0.01);
ALTER TABLE turns ALTER COLUMN user_id SET (n_distinct = -0.01);
ANALYZE conversation_tombstones (user_id);
ANALYZE outbox (partition_key);
ANALYZE turns (conversation_id, user_id);
