-- The index. A folder's rows belong to the run that indexes it, so that a
-- fresh run begins with nothing, and what an old one still writes is refused.
CREATE TABLE IF NOT EXISTS folders (
    path     TEXT PRIMARY KEY,
    run      TEXT NOT NULL UNIQUE,
    packages INTEGER NOT NULL DEFAULT 0 -- how many there are; 0: not known yet
);

CREATE TABLE IF NOT EXISTS packages (
    id     INTEGER PRIMARY KEY,
    run    TEXT NOT NULL REFERENCES folders (run) ON DELETE CASCADE,
    dir    TEXT NOT NULL, -- relative to the folder, with slashes
    files  INTEGER NOT NULL,
    lines  INTEGER NOT NULL,
    broken INTEGER NOT NULL, -- files that do not parse
    UNIQUE (run, dir)
);

-- Where exported names are declared.
CREATE TABLE IF NOT EXISTS names (
    package  INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    name     TEXT NOT NULL,
    receiver TEXT NOT NULL, -- of a method
    kind     TEXT NOT NULL, -- func, method, type, const, var
    file     TEXT NOT NULL,
    line     INTEGER NOT NULL
);

CREATE INDEX IF NOT EXISTS names_by_name ON names (name);
CREATE INDEX IF NOT EXISTS names_by_package ON names (package);

-- How often a package uses an exported name of another one.
CREATE TABLE IF NOT EXISTS uses (
    package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    name    TEXT NOT NULL, -- with the import path: encoding/json.Marshal
    times   INTEGER NOT NULL,
    PRIMARY KEY (package, name)
) WITHOUT ROWID;
