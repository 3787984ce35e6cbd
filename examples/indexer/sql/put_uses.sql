-- Writes what a package uses, given as a JSON object of names and times.
INSERT INTO uses (package, name, times) SELECT ?1, key, value FROM json_each(?2)
