-- Gives a number that changes whenever another connection, of any process, has
-- changed the file.
PRAGMA data_version
