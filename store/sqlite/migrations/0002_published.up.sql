-- How often a message went to a broker since it fell due; 0 without a broker.
ALTER TABLE millrace_messages ADD COLUMN published INTEGER NOT NULL DEFAULT 0;
