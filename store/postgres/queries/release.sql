-- Keeps what was done since the savepoint, as part of the caller's transaction.
RELEASE SAVEPOINT millrace
