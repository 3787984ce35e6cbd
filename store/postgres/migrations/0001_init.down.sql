-- Removes all that millrace keeps in the schema.
DROP TABLE millrace_commits, millrace_asleep, millrace_workers, millrace_rows, millrace_closed, millrace_runs,
    millrace_queues, millrace_messages, millrace_meta;
DROP SEQUENCE millrace_numbers;
