"""SQL statements of deletions and erasures. Content is blanked; ids and numbers stay.

Every statement on several rows locks them in the order of their keys first: see ``docs/locks.md``. A statement that
returns the ids of a page takes an owner, the last id of the page before, and the length of the page.
"""

# Every column that is blanked. A turn without texts can have others: the images of a message are not stored.
_HAS_CONTENT = """
(t.content <> '' OR t.user_message <> '' OR t.entries <> '[]' OR t.tool_calls IS NOT NULL OR t.tool_results <> '[]'
 OR t.system_prompt IS NOT NULL OR t.metadata <> '{}' OR t.response IS NOT NULL)"""
_BLANK_EVENT = """
jsonb_set(jsonb_set(jsonb_set(o.data || '{"system_prompt": null, "metadata": {}, "tool_results": []}',
    '{user_message,content}', '""', false), '{message,content}', '""', false), '{message,tool_calls}', 'null', false)"""

TURNS_OF_USER = f"""
SELECT id FROM turns AS t WHERE user_id = $1 AND id > $2 AND {_HAS_CONTENT} ORDER BY id LIMIT $3"""  # noqa: S608 - only a constant is interpolated
# In the order of the index of a conversation's turns: in the order of their ids, each page would read all of them.
TURNS_OF_CONVERSATION = f"""
SELECT id, number FROM turns AS t
WHERE conversation_id = $1 AND number >= $2 AND status <> 'running' AND {_HAS_CONTENT}
ORDER BY number LIMIT $3"""  # noqa: S608 - only a constant is interpolated
CONVERSATIONS = """
SELECT id FROM (SELECT id FROM conversations WHERE user_id = $1 OFFSET 0) AS c WHERE id > $2 ORDER BY id LIMIT $3"""
OPEN_CONVERSATIONS = """
SELECT id FROM (
    SELECT id FROM conversations WHERE user_id = $1 AND (deleted_at IS NULL OR system_prompt IS NOT NULL) OFFSET 0
) AS c
WHERE id > $2 ORDER BY id LIMIT $3"""
TURNS_WITHOUT_CONVERSATION = """
SELECT id FROM turns WHERE user_id = $1 AND id > $2 AND conversation_id IS NULL ORDER BY id LIMIT $3"""
EVENTS_WITH_CONTENT = f"""
SELECT o.id FROM outbox AS o
WHERE o.partition_key = ANY ($1::text[]) AND o.name LIKE 'conversation.turn.%' AND o.data <> {_BLANK_EVENT}
ORDER BY o.id"""  # noqa: S608 - only a constant is interpolated
# A deleted conversation leaves the index `conversations_to_blank` when it is blanked, which waits for a running turn.
_UNBLANKED = """
SELECT c.id FROM conversations AS c
WHERE {chosen} AND c.deleted_at IS NOT NULL AND c.blanked_at IS NULL AND NOT EXISTS (
    SELECT FROM turns AS t WHERE t.conversation_id = c.id AND {turn} OFFSET 0
)"""
UNBLANKED_CONVERSATIONS = f"""
{_UNBLANKED.format(chosen="c.id > $1", turn="t.status = 'running'")} ORDER BY c.id LIMIT $2"""
BLANKED_CONVERSATIONS = f"""
{_UNBLANKED.format(chosen="c.id = ANY ($1::uuid[])", turn=f"(t.status = 'running' OR {_HAS_CONTENT})")}
  AND c.id > $2 ORDER BY c.id LIMIT $3"""
UNRECORDED_CONVERSATIONS = """
SELECT id FROM (SELECT id FROM conversations WHERE user_id = $1 AND blanked_at IS NULL OFFSET 0) AS c
WHERE id > $2 ORDER BY id LIMIT $3"""
RECORD_BLANKED = """
WITH locked AS (SELECT id FROM conversations WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE conversations AS c SET blanked_at = coalesce(blanked_at, now()) FROM locked WHERE c.id = locked.id"""

BLANK_TURNS = """
WITH locked AS (SELECT id FROM turns WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE turns AS t SET user_message = '', content = '', entries = '[]', tool_calls = NULL, system_prompt = NULL,
    metadata = '{}', tool_results = '[]', response = NULL
FROM locked WHERE t.id = locked.id"""
BLANK_EVENTS = f"""
WITH locked AS (SELECT id FROM outbox WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE outbox AS o SET data = {_BLANK_EVENT}
FROM locked WHERE o.id = locked.id"""  # noqa: S608 - only a constant is interpolated
ERASE_CONVERSATIONS = """
WITH locked AS (SELECT id FROM conversations WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE conversations AS c SET deleted_at = coalesce(deleted_at, now()), system_prompt = NULL
FROM locked WHERE c.id = locked.id"""
DELETE_CONVERSATION = """
INSERT INTO conversations AS c (id, user_id, deleted_at) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET deleted_at = coalesce(c.deleted_at, excluded.deleted_at), system_prompt = NULL
WHERE c.user_id = excluded.user_id"""
CANCEL_CONVERSATION = """
WITH locked AS (
    SELECT id FROM turns WHERE conversation_id = $1 AND status = 'running' ORDER BY id FOR NO KEY UPDATE
)
UPDATE turns AS t SET cancel_requested_at = coalesce(t.cancel_requested_at, now())
FROM locked WHERE t.id = locked.id RETURNING t.id"""
CANCEL_USER = """
WITH locked AS (
    SELECT id FROM turns WHERE user_id = $1 AND status = 'running' ORDER BY id FOR NO KEY UPDATE
)
UPDATE turns AS t SET cancel_requested_at = coalesce(t.cancel_requested_at, now())
FROM locked WHERE t.id = locked.id RETURNING t.id"""

ERASE_ACCOUNT = """
INSERT INTO accounts AS a (user_id, erased_at) VALUES ($1, now())
ON CONFLICT (user_id) DO UPDATE SET erased_at = coalesce(a.erased_at, excluded.erased_at)"""
RUNNING_TURNS = "SELECT id FROM turns WHERE user_id = $1 AND status = 'running' LIMIT $2"
# The expression of the status keeps Postgres from the index of the running turns: docs/query-plans.md, rule 11.
END_RUNNING = """
WITH locked AS (
    SELECT id FROM turns WHERE id = ANY ($1::uuid[]) AND status || '' = 'running' ORDER BY id FOR NO KEY UPDATE
)
UPDATE turns AS t SET status = 'cancelled', finish_reason = 'cancelled', epoch = epoch + 1, finished_at = now(),
    entries = '[]', content = '', user_message = '', system_prompt = NULL, metadata = '{}', tool_results = '[]',
    response = NULL, ended_event_id = NULL,
    usage = '{"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}'
FROM locked WHERE t.id = locked.id RETURNING t.*"""
HAS_KEYS = "SELECT EXISTS (SELECT FROM idempotency_keys WHERE user_id = $1)"
# The physical places of the locked rows: a join reads all keys of the user again for each page.
DELETE_KEYS = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE user_id = $1 ORDER BY user_id, route, key LIMIT $2 FOR UPDATE
))"""
LOCK_BUDGETS = 'SELECT FROM budgets WHERE user_id = $1 ORDER BY period COLLATE "C" FOR UPDATE'

NOT_DELETED = """
SELECT id FROM unnest($1::uuid[]) AS id
WHERE NOT EXISTS (SELECT FROM conversations AS c WHERE c.id = id.id AND c.deleted_at IS NOT NULL)"""
COMPARED_UNTIL = "SELECT compared_until FROM comparisons WHERE name = 'deletions'"
RECORD_COMPARISON = """
INSERT INTO comparisons AS c (name, compared_until) VALUES ('deletions', $1)
ON CONFLICT (name) DO UPDATE SET compared_until = greatest(c.compared_until, excluded.compared_until)"""
