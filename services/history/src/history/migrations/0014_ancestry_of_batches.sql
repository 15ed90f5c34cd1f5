-- The first level that store_ancestry takes are all messages of the statement; those of them that lie below others are found
-- again as children. Both count, so that a statement stores the ancestry of its own messages, and of 1,000 more.
CREATE OR REPLACE FUNCTION messages_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    left_over record;
BEGIN
    SELECT s.* INTO left_over FROM (
        SELECT array_agg(conversation_id) AS conversations, array_agg(id) AS ids, array_agg(parent_id) AS parents FROM added
    ) AS a CROSS JOIN LATERAL store_ancestry(a.conversations, a.ids, a.parents, 1000 + 2 * coalesce(cardinality(a.ids), 0)) AS s;
    IF left_over.ids IS NOT NULL THEN
        INSERT INTO ancestry_pending SELECT DISTINCT unnest(left_over.conversations) AS id ORDER BY id ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
