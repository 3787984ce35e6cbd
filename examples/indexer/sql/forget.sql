-- Drops a folder with all that was indexed of it.
DELETE FROM folders WHERE path = ?1
