-- The backup of history is some moments older than that of chat. The reconciler compares the latest turns and deletions
-- with it again, and publishes what history lacks.
UPDATE turns SET confirmed_at = NULL
WHERE finished_at > current_setting('parley.snapshot_at')::timestamptz - interval '10 minutes';
UPDATE comparisons SET compared_until = compared_until - interval '1 hour';
