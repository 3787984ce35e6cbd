-- Lets one process at a time make tables and functions.
SELECT pg_advisory_xact_lock(7308332184553187378)
