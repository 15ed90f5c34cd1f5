-- Words are found by the service, which knows Unicode's word boundaries. The text search parser of Postgres cuts words at
-- combining marks, so it gets only words of ASCII letters and digits, for which it also finds the English stems. Every
-- other word is a term as it is, with its positions for the ranking.
CREATE OR REPLACE FUNCTION search_terms(person uuid, words text, bigrams text[]) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT array_to_tsvector(array['user:' || person] || bigrams)
        || to_tsvector('pg_catalog.simple', ascii.words) || to_tsvector('pg_catalog.english', ascii.words)
        || coalesce((
            SELECT string_agg('''' || found.word || ''':' || found.positions, ' ')::tsvector FROM (
                SELECT left(w.word, 500) AS word, string_agg(w.position::text, ',') AS positions
                FROM unnest(string_to_array(search_terms.words, ' ')) WITH ORDINALITY AS w (word, position)
                WHERE w.word ~ '[^ -~]' GROUP BY 1
            ) AS found
        ), '')
    FROM (SELECT regexp_replace(search_terms.words, '[^ ]*[^ -~][^ ]*', '', 'g') AS words) AS ascii
$$;

-- Up to which message the terms of an index version were made again, and until when a process is at it.
CREATE TABLE search_reindexing (
    version integer PRIMARY KEY,
    last_id uuid,
    claimed_until timestamptz,
    finished_at timestamptz
);

-- Titles are compared as the service compares words: normalized, and in any case.
CREATE FUNCTION folded_title(title text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT translate(replace(replace(
        lower(normalize(regexp_replace(
            title, '[\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]',
            '', 'g'), NFKC)),
        'ß', 'ss'), U&'i\0307', 'i'), 'ıς', 'iσ')
$$;
