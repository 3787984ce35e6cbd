-- Undoes what was done since the savepoint; the caller's transaction goes on.
ROLLBACK TO millrace
