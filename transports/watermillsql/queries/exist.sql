-- Which tables of a topic there are. A transaction that waited for the lock may
-- still believe what was so before: only who asks for a table, here one of the
-- catalog's, hears of what others made meanwhile.
SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL FROM pg_class LIMIT 1
