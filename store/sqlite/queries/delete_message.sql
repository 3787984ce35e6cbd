-- Removes a message, if it exists.
DELETE FROM millrace_messages WHERE seq = ?1
