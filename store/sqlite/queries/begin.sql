-- Takes the writer at once, so that what is read next stays true until the
-- commit. Fails as busy while another connection has it.
BEGIN IMMEDIATE
