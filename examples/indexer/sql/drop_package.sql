-- Drops what an earlier attempt wrote of a package.
DELETE FROM packages WHERE run = ?1 AND dir = ?2
