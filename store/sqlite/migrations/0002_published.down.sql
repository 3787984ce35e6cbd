-- Without the column, what went to a broker waits until it would go again.
ALTER TABLE millrace_messages DROP COLUMN published;
