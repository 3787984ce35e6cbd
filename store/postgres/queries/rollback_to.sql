-- Undoes what was done since the savepoint, and gives back the locks taken
-- since; the caller's transaction goes on.
ROLLBACK TO SAVEPOINT millrace
