-- Writes a package's exported names, given as a JSON array of arrays.
INSERT INTO names (package, name, receiver, kind, file, line)
SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?2)
