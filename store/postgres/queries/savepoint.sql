-- Begins what can be undone by itself inside a caller's transaction.
SAVEPOINT millrace
