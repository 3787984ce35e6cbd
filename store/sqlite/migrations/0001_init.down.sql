-- Removes everything that 0001_init.up.sql made, with all messages and runs.
DROP TABLE millrace_workers;
DROP TABLE millrace_rows;
DROP TABLE millrace_runs;
DROP TABLE millrace_messages;
DROP TABLE millrace_meta;
