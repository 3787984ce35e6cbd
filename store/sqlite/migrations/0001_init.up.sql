-- The first schema. Names begin with millrace_, so that an application can
-- keep its own tables in the same file and change both in one transaction.

-- Facts about the file: the schema's version, the next free number, and the
-- random name that this store was given when it was made.
CREATE TABLE millrace_meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

INSERT INTO millrace_meta (name, value) VALUES ('next', 1);
INSERT INTO millrace_meta (name, value) VALUES ('store', lower(hex(randomblob(16))));

-- due: 0 at once; negative: the time has come and a grab has moved it to
-- millrace_messages_ready; 9223372036854775807 parked.
-- worker: 0 free, else who holds it.
CREATE TABLE millrace_messages (
    seq      INTEGER PRIMARY KEY,
    topic    TEXT    NOT NULL,
    run      INTEGER NOT NULL,
    name     TEXT,
    due      INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    worker   INTEGER NOT NULL,
    body     BLOB    NOT NULL
);

-- All indexes are partial: a message that is born held, works and ends is in
-- none of them, and costs one b-tree insert and one delete.

-- What can be grabbed now, in the order of grabbing. due is there so that
-- choosing reads the index alone.
CREATE INDEX millrace_messages_ready ON millrace_messages (topic, priority DESC, seq, due)
    WHERE worker = 0 AND due <= 0;

-- What waits for its time. Parked messages sort last, where no grab looks.
CREATE INDEX millrace_messages_later ON millrace_messages (topic, due, priority)
    WHERE worker = 0 AND due > 0;

-- What of a run is not begun, for its sweep.
CREATE INDEX millrace_messages_free ON millrace_messages (run)
    WHERE worker = 0 AND run <> 0;

-- Named timers of a run, free or held.
CREATE INDEX millrace_messages_named ON millrace_messages (run, name)
    WHERE name IS NOT NULL;

CREATE TABLE millrace_runs (
    key    INTEGER PRIMARY KEY,
    id     TEXT    NOT NULL UNIQUE,
    name   TEXT    NOT NULL,
    status INTEGER NOT NULL,
    ended  INTEGER NOT NULL,
    body   BLOB    NOT NULL
);

-- Closed runs by their end, for purging.
CREATE INDEX millrace_runs_ended ON millrace_runs (ended)
    WHERE ended > 0;

CREATE TABLE millrace_rows (
    kind  INTEGER NOT NULL,
    owner TEXT    NOT NULL,
    name  TEXT    NOT NULL,
    until INTEGER NOT NULL,
    body  BLOB    NOT NULL,
    PRIMARY KEY (kind, owner, name)
) WITHOUT ROWID;

-- Rows that may be purged once their time has passed.
CREATE INDEX millrace_rows_until ON millrace_rows (until)
    WHERE until > 0;

-- No key of a worker is ever used again.
CREATE TABLE millrace_workers (
    key     INTEGER PRIMARY KEY AUTOINCREMENT,
    host    TEXT    NOT NULL,
    boot    TEXT    NOT NULL,
    pidns   TEXT    NOT NULL,
    pid     INTEGER NOT NULL,
    born    TEXT    NOT NULL,
    started INTEGER NOT NULL,
    until   INTEGER NOT NULL
);
