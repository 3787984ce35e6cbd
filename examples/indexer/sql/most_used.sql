-- The exported names that are used most.
SELECT name, sum(times) AS total FROM uses WHERE package IN (SELECT id FROM packages WHERE run = ?1)
GROUP BY name ORDER BY total DESC, name LIMIT ?2
