-- outside a transaction
-- A page of the turns with files reads no other turn.
CREATE INDEX CONCURRENTLY IF NOT EXISTS turns_with_files ON turns (user_id, id)
    WHERE jsonb_path_exists(response -> 'input', '$[*].content[*].file_id');
