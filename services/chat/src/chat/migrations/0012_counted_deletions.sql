-- Replicas of the version before do not count the deletions of items that they make. The database counts them for all.

CREATE FUNCTION count_item_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE conversations SET item_deletions = item_deletions + 1 WHERE id = NEW.conversation_id;
    RETURN NULL;
END
$$;

-- Only a deletion of an item gives a turn another revision. Its transaction has locked the conversation before the turn.
CREATE TRIGGER item_deletions AFTER UPDATE OF response ON turns FOR EACH ROW
WHEN (NEW.response ? 'revision' AND NEW.response -> 'revision' IS DISTINCT FROM OLD.response -> 'revision')
EXECUTE FUNCTION count_item_deletion();
