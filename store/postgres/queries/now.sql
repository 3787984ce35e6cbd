-- Tells the server's clock in microseconds.
SELECT millrace_now()
