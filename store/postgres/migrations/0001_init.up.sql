-- The tables. Keys are numbers, what is not selected by stands in one body.
-- Names compare byte by byte, as Go compares them. What changes all the time is
-- vacuumed by the number of dead rows, not by their part, and without pauses.

CREATE TABLE millrace_meta (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- The name of this store, for envelopes that travel.
INSERT INTO millrace_meta (name, value)
VALUES ('store', replace(gen_random_uuid()::text, '-', ''));

-- Each commit draws a block of numbers, so that commits don't wait for each
-- other, and numbers grow in the order in which commits began.
CREATE SEQUENCE millrace_numbers AS bigint INCREMENT 4096 MINVALUE 1 START 1;

-- due is negated once a grab has seen that a message is due: it is ready then.
CREATE TABLE millrace_messages (
    seq       bigint   PRIMARY KEY,
    run       bigint   NOT NULL,
    due       bigint   NOT NULL,
    worker    bigint   NOT NULL,
    published integer  NOT NULL,
    priority  smallint NOT NULL,
    topic     text COLLATE "C" NOT NULL,
    name      text COLLATE "C",
    body      bytea    NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

-- What can be grabbed now, in the order of grabbing. Held messages are in
-- none of these indexes.
CREATE INDEX millrace_messages_ready ON millrace_messages (topic, priority, seq)
    WHERE worker = 0 AND due <= 0;

-- What waits for its time, or has fallen due since somebody looked.
CREATE INDEX millrace_messages_later ON millrace_messages (topic, due)
    WHERE worker = 0 AND due > 0;

-- What of a run is not begun, for its sweep.
CREATE INDEX millrace_messages_free ON millrace_messages (run, seq)
    WHERE worker = 0 AND run <> 0;

-- Named timers of a run, free or held.
CREATE INDEX millrace_messages_named ON millrace_messages (run, name, seq)
    WHERE name IS NOT NULL;

-- Which priorities the messages of a topic ever had, so that a grab looks for
-- each where it left off, and needs no search for them.
CREATE TABLE millrace_queues (
    topic    text COLLATE "C" NOT NULL,
    priority smallint NOT NULL,
    PRIMARY KEY (topic, priority)
);

CREATE TABLE millrace_runs (
    key    bigint   PRIMARY KEY,
    ended  bigint   NOT NULL,
    status smallint NOT NULL,
    id     text COLLATE "C" NOT NULL UNIQUE,
    name   text COLLATE "C" NOT NULL,
    body   bytea    NOT NULL
) WITH (
    fillfactor = 40,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);

-- Runs that were closed at a time, for purging. An index of the runs by their
-- end would make each end write all indexes of its run.
CREATE TABLE millrace_closed (
    at   bigint   NOT NULL,
    keys bigint[] NOT NULL
);

CREATE INDEX millrace_closed_at ON millrace_closed (at);

CREATE TABLE millrace_rows (
    kind  smallint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    until bigint   NOT NULL,
    body  bytea    NOT NULL,
    PRIMARY KEY (kind, owner, name)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000,
    autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0
);

-- Rows that may be purged once their time has passed.
CREATE INDEX millrace_rows_until ON millrace_rows (until)
    WHERE until > 0;

-- No key of a worker is ever used again.
CREATE TABLE millrace_workers (
    key     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host    text   NOT NULL,
    boot    text   NOT NULL,
    pidns   text   NOT NULL,
    pid     bigint NOT NULL,
    born    text   NOT NULL,
    started bigint NOT NULL,
    until   bigint NOT NULL
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- Processes that found nothing to grab and want to be told when that may have
-- changed: for which topics, and when they look by themselves (0: some day).
-- What is lost with the server is said anew after it.
CREATE UNLOGGED TABLE millrace_asleep (
    listener text COLLATE "C" PRIMARY KEY,
    topics   text[] COLLATE "C" NOT NULL,
    next     bigint NOT NULL,
    since    bigint NOT NULL
);

-- The last commit of each connection, so that who lost the answer to a COMMIT
-- can find out what became of it.
CREATE TABLE millrace_commits (
    mark   bigint PRIMARY KEY,
    number bigint NOT NULL,
    at     bigint NOT NULL
) WITH (
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
