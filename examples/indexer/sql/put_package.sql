-- Writes a package.
INSERT INTO packages (run, dir, files, lines, broken) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id
