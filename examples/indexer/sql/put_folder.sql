-- Gives a folder its run, unless it has one.
INSERT INTO folders (path, run) VALUES (?1, ?2) ON CONFLICT (path) DO NOTHING
