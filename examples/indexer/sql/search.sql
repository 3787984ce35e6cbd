-- Where a name is declared; of a method, if a receiver is given.
SELECT p.dir, n.name, n.receiver, n.kind, n.file, n.line FROM names n JOIN packages p ON p.id = n.package
WHERE p.run = ?1 AND n.name = ?2 AND (?3 = '' OR n.receiver = ?3)
ORDER BY p.dir, n.file, n.line
