"""SQL statements of lists of turns: the IDs of a page, and the turns of IDs."""

from parley.storage.bounded_reads import read_until

# One statement for each choice, and a position that is never NULL, because a generic plan has no index for "$2 IS NULL
# OR …". LATERAL (… OFFSET 0) allows Postgres one plan only, a loop over one key of an index: see docs/query-plans.md.
_LIST = """
SELECT t.id FROM turns AS t
LEFT JOIN LATERAL (SELECT deleted_at FROM conversations WHERE id = t.conversation_id OFFSET 0) AS c ON true
WHERE t.user_id = $1 {chosen} AND c.deleted_at IS NULL
  AND {status} AND t.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY t.id DESC LIMIT $4"""
_OF_CONVERSATION = "AND t.conversation_id = $5"
_WITH_FILES = "AND jsonb_path_exists(t.response -> 'input', '$[*].content[*].file_id')"
"""The condition of the index `turns_with_files`."""
# Of "$2 IS NULL OR …", Postgres expects one turn in a hundred, for which it would read and sort all turns of a user; of
# CASE, half of them. An expression, so that a custom plan cannot use `turns_by_outcome` where the generic could not.
_ANY_STATUS = "CASE WHEN $2::text IS NULL THEN true ELSE t.status || '' = $2 END"
LIST = _LIST.format(chosen="", status=_ANY_STATUS)
LIST_OF_CONVERSATION = _LIST.format(chosen=_OF_CONVERSATION, status=_ANY_STATUS)
LIST_WITH_FILES = _LIST.format(chosen=_WITH_FILES, status=_ANY_STATUS)
LIST_OF_CONVERSATION_WITH_FILES = _LIST.format(chosen=f"{_OF_CONVERSATION} {_WITH_FILES}", status=_ANY_STATUS)
# The conditions of partial indexes: turns with these states are few, and those of a user may be far apart.
_RUNNING = "t.status = $2 AND t.status = 'running'"
LIST_RUNNING = _LIST.format(chosen="", status=_RUNNING)
LIST_RUNNING_OF_CONVERSATION = _LIST.format(chosen=_OF_CONVERSATION, status=_RUNNING)
LIST_BY_OUTCOME = _LIST.format(chosen="", status="t.status = $2 AND t.status NOT IN ('running', 'completed')")

_STORED_LENGTH = " + ".join(
    f"coalesce(length({column}::text), 0)::bigint"
    for column in ("user_message", "content", "system_prompt", "entries", "tool_calls", "tool_results", "response")
)
"""Characters of a stored turn. Its text counts in each column that has it, because all of them are read."""

READ = f"""{read_until("$1", "$2", f"SELECT {_STORED_LENGTH} AS size FROM turns WHERE id = {{id}}")}
SELECT t.*, coalesce(c.item_deletions, 0) AS item_deletions, (SELECT max(place) FROM read) AS read_ids
FROM read AS r
CROSS JOIN LATERAL (SELECT * FROM turns WHERE id = ($1::uuid[])[r.place] OFFSET 0) AS t
LEFT JOIN LATERAL (
    SELECT item_deletions, deleted_at FROM conversations WHERE id = t.conversation_id OFFSET 0
) AS c ON true
WHERE c.deleted_at IS NULL ORDER BY r.place"""  # noqa: S608 - only constants are interpolated


def list_statement(*, of_conversation: bool, with_files: bool, status: str | None) -> str:
    """Return the statement of the IDs of a list of turns."""
    if of_conversation and with_files:
        return LIST_OF_CONVERSATION_WITH_FILES
    if of_conversation:
        return LIST_RUNNING_OF_CONVERSATION if status == "running" else LIST_OF_CONVERSATION
    if with_files:
        return LIST_WITH_FILES
    if status in {None, "completed"}:
        return LIST
    return LIST_RUNNING if status == "running" else LIST_BY_OUTCOME
