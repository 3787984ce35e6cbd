-- Makes processes that migrate take turns, to the transaction's end: one lock
-- for each schema of a database.
SELECT pg_advisory_xact_lock(hashtextextended('millrace ' || current_schema(), 0))
