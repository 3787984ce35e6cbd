-- Turns the file to write-ahead logging, for good; answers with the mode that
-- it has afterwards. Fails as busy while others use the file.
PRAGMA journal_mode = WAL
