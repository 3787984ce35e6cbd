-- Tells in which schema tables are made, and how text is encoded. No schema
-- when none of the search_path exists.
SELECT coalesce(current_schema(), ''), current_setting('server_encoding'), current_setting('server_version_num')::bigint, pg_is_in_recovery()
