-- Which tables of a topic there are.
SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL
