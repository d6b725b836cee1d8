-- Logs and spans, kept for a while: a database of their own, so that a flood of lines neither delays the store nor makes it
-- grow. Times are milliseconds since the Unix epoch, UTC; ids are in the order of arrival; attributes are JSON.

CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    -- What tells a record from all others: one that is sent twice is kept once.
    digest INTEGER NOT NULL UNIQUE,
    at_ms INTEGER NOT NULL,
    service TEXT NOT NULL,
    severity INTEGER NOT NULL,
    text TEXT NOT NULL,
    attributes TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX logs_by_time ON logs (at_ms, id);
CREATE INDEX logs_by_trace ON logs (trace_id, at_ms, id) WHERE trace_id <> '';

CREATE TABLE spans (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL UNIQUE,
    at_ms INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL,
    attributes TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX spans_by_time ON spans (at_ms, id);
CREATE INDEX spans_by_trace ON spans (trace_id, at_ms, id);

-- How much is kept, without counting it.
CREATE TABLE kept (
    kind TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO kept (kind, bytes) VALUES ('logs', 0), ('spans', 0);
CREATE TRIGGER logs_come AFTER INSERT ON logs BEGIN UPDATE kept SET bytes = bytes + NEW.bytes WHERE kind = 'logs'; END;
CREATE TRIGGER logs_go AFTER DELETE ON logs BEGIN UPDATE kept SET bytes = bytes - OLD.bytes WHERE kind = 'logs'; END;
CREATE TRIGGER spans_come AFTER INSERT ON spans BEGIN UPDATE kept SET bytes = bytes + NEW.bytes WHERE kind = 'spans'; END;
CREATE TRIGGER spans_go AFTER DELETE ON spans BEGIN UPDATE kept SET bytes = bytes - OLD.bytes WHERE kind = 'spans'; END;
