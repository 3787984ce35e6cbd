-- Notes how many packages a folder has.
UPDATE folders SET packages = ?2 WHERE run = ?1
