"""SQL that reads rows in the order of their ids until they are too long together."""


def read_until(ids: str, bound: str, size: str) -> str:
    """Return the beginning of a statement: ``read`` has the ``place`` of each id to read, from 1, and place 0.

    ``ids`` is an array of UUIDs and ``bound`` a number, both parameters such as ``$1``. ``size`` selects ``size`` of
    the row with the id ``{id}``. No row is read behind the one with which the sizes reach the bound.
    """
    # LATERAL (… OFFSET 0) allows Postgres one plan only, a loop over one key of an index: see docs/query-plans.md.
    return f"""
WITH RECURSIVE read AS (
    SELECT 0 AS place, 0::bigint AS size
    UNION ALL
    SELECT r.place + 1, r.size + coalesce(one.size, 0)
    FROM read AS r LEFT JOIN LATERAL ({size.format(id=f"({ids}::uuid[])[r.place + 1]")} OFFSET 0) AS one ON true
    WHERE r.place < cardinality({ids}::uuid[]) AND r.size < {bound}
)"""  # noqa: S608 - only constants are interpolated
