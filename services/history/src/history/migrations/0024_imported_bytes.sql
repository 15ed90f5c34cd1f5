-- What a conversation counts of its owner's quota of imports. Conversations that were imported before count nothing.
ALTER TABLE conversations ADD COLUMN imported_bytes bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN conversations.imported_bytes IS 'Bytes that the import counted; 0 when it was not imported.';
