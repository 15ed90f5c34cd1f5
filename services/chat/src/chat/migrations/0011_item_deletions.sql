-- Deletions of items, counted, so that a turn that was read before one does not store what it removed.

ALTER TABLE conversations ADD COLUMN item_deletions integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN conversations.item_deletions IS
    'Items that were deleted. A new turn is refused if one was deleted since its position was read.';
