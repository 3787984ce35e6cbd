DROP FUNCTION millrace_reap, millrace_purge, millrace_grab, millrace_write, millrace_load, millrace_reserve, millrace_now;
