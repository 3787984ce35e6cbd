-- Tells which files the connection has open; the first is its own.
PRAGMA database_list
