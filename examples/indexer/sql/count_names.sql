-- Counts the exported names that are declared.
SELECT count(*) FROM names WHERE package IN (SELECT id FROM packages WHERE run = ?1)
