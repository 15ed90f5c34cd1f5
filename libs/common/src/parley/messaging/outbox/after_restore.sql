-- Rows of a backup whose events may not have arrived before it: they are published again, and subscribers know their IDs.
UPDATE outbox SET sent_at = NULL, next_attempt_at = NULL
WHERE sent_at > current_setting('parley.snapshot_at')::timestamptz - interval '10 minutes';
