-- Tells the journal mode of the file.
PRAGMA journal_mode
