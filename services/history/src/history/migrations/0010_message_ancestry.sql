-- Where a message is in the tree of its conversation: its depth (0 is a root), and one ancestor far above it. From a message
-- of depth n, a reader reaches the ancestor of any depth in at most about 2 log2(n) steps, each to the parent or to the far
-- ancestor (E. Myers, An applicative random-access stack, 1983). A message without its parent has no row until that is stored.
CREATE TABLE message_ancestry (
    conversation_id uuid NOT NULL REFERENCES conversations ON DELETE CASCADE,
    id uuid NOT NULL,
    parent_id uuid,
    depth integer NOT NULL,
    jump_id uuid,
    jump_depth integer,
    PRIMARY KEY (conversation_id, id)
);
COMMENT ON COLUMN message_ancestry.jump_id IS 'The far ancestor. Its depth, jump_depth, depends on the depth only.';

-- Conversations of which a background task stores the ancestry: here all that exist, later those with too much at once.
CREATE TABLE ancestry_pending (conversation_id uuid PRIMARY KEY REFERENCES conversations ON DELETE CASCADE);

-- Stores the ancestry of messages whose parents have theirs, then of the messages below them, level by level, until about
-- ``most`` are stored. Gives back those of the next level, or nulls. Each plan is a loop over single
-- keys: LATERAL … OFFSET 0 allows no other join, and a generic plan saves planning for every message.
CREATE FUNCTION store_ancestry(INOUT conversations uuid[], INOUT ids uuid[], INOUT parents uuid[], most integer)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    WHILE ids IS NOT NULL AND most > 0 LOOP
        most := most - cardinality(ids);
        WITH stored AS (
            INSERT INTO message_ancestry (conversation_id, id, parent_id, depth, jump_id, jump_depth)
            SELECT m.conversation_id, m.id, m.parent_id, coalesce(p.depth + 1, 0),
                CASE WHEN p.depth - p.jump_depth = p.jump_depth - p.far_depth THEN p.far_id ELSE m.parent_id END,
                CASE WHEN p.depth - p.jump_depth = p.jump_depth - p.far_depth THEN p.far_depth ELSE p.depth END
            FROM unnest(conversations, ids, parents) AS m (conversation_id, id, parent_id) LEFT JOIN LATERAL (
                SELECT a.depth, a.jump_depth, far.jump_id AS far_id, far.jump_depth AS far_depth
                FROM message_ancestry AS a LEFT JOIN message_ancestry AS far
                    ON far.conversation_id = a.conversation_id AND far.id = a.jump_id
                WHERE a.conversation_id = m.conversation_id AND a.id = m.parent_id OFFSET 0
            ) AS p ON true
            WHERE m.parent_id IS NULL OR p.depth IS NOT NULL
            ON CONFLICT DO NOTHING RETURNING message_ancestry.conversation_id, message_ancestry.id
        )
        SELECT array_agg(child.conversation_id), array_agg(child.id), array_agg(child.parent_id)
        INTO conversations, ids, parents
        FROM stored AS s CROSS JOIN LATERAL (
            SELECT m.conversation_id, m.id, m.parent_id FROM messages AS m
            WHERE m.conversation_id = s.conversation_id AND m.parent_id = s.id OFFSET 0
        ) AS child;
    END LOOP;
END
$$;

-- Stores the ancestry of about ``most`` messages of a conversation that have none. Returns whether it found any.
CREATE FUNCTION store_missing_ancestry(conversation uuid, most integer) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    conversations uuid[];
    ids uuid[];
    parents uuid[];
BEGIN
    SELECT array_agg(m.conversation_id), array_agg(m.id), array_agg(m.parent_id) INTO conversations, ids, parents
    FROM messages AS m
    LEFT JOIN LATERAL (
        SELECT true AS is_stored FROM message_ancestry AS a WHERE a.conversation_id = m.conversation_id AND a.id = m.id OFFSET 0
    ) AS own ON true
    LEFT JOIN LATERAL (
        SELECT true AS is_stored FROM message_ancestry AS a
        WHERE a.conversation_id = m.conversation_id AND a.id = m.parent_id OFFSET 0
    ) AS parent ON true
    WHERE m.conversation_id = conversation AND own.is_stored IS NULL AND (m.parent_id IS NULL OR parent.is_stored);
    PERFORM store_ancestry(conversations, ids, parents, most);
    RETURN ids IS NOT NULL;
END
$$;

-- New messages, whoever stores them: one call for a statement of any number of messages, in any order.
CREATE FUNCTION messages_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    left_over record;
BEGIN
    SELECT s.* INTO left_over FROM (
        SELECT array_agg(conversation_id) AS conversations, array_agg(id) AS ids, array_agg(parent_id) AS parents FROM added
    ) AS a CROSS JOIN LATERAL store_ancestry(a.conversations, a.ids, a.parents, 1000 + coalesce(cardinality(a.ids), 0)) AS s;
    IF left_over.ids IS NOT NULL THEN
        INSERT INTO ancestry_pending SELECT DISTINCT unnest(left_over.conversations) AS id ORDER BY id ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER messages_added AFTER INSERT ON messages REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION messages_added();

-- A message with another parent: the ancestry of it and of everything below is stored again.
CREATE FUNCTION message_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH RECURSIVE below (id) AS (
        SELECT NEW.id
        UNION
        SELECT child.id FROM below AS b CROSS JOIN LATERAL (
            SELECT m.id FROM messages AS m WHERE m.conversation_id = NEW.conversation_id AND m.parent_id = b.id OFFSET 0
        ) AS child
    )
    DELETE FROM message_ancestry AS a WHERE a.conversation_id = NEW.conversation_id AND a.id IN (SELECT id FROM below);
    INSERT INTO ancestry_pending
    SELECT s.conversations[1] FROM store_ancestry(array[NEW.conversation_id], array[NEW.id], array[NEW.parent_id], 1000) AS s
    WHERE s.ids IS NOT NULL ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER message_moved AFTER UPDATE OF parent_id ON messages
    FOR EACH ROW WHEN (OLD.parent_id IS DISTINCT FROM NEW.parent_id) EXECUTE FUNCTION message_moved();

INSERT INTO ancestry_pending SELECT id FROM conversations;
