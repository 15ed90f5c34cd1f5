-- outside a transaction
-- With two indexes of the few running turns, Postgres found that of a conversation by reading all of them: both looked as
-- small. What runs in one process is read once a second, together with what runs in the others.
DROP INDEX CONCURRENTLY IF EXISTS turns_of_runner;
