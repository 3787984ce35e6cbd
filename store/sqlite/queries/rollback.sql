-- Undoes the transaction.
ROLLBACK
