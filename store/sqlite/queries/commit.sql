-- Makes the transaction durable, as far as the synchronous setting goes.
COMMIT
