-- Everything that must survive a restart, beyond the log. Times are milliseconds since the Unix epoch, UTC.

-- A series id is an unsigned 64-bit hash, stored as the signed integer with the same bits.
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    info TEXT NOT NULL
) STRICT;

-- Sealed history: pco-compressed runs of samples.
CREATE TABLE chunks (
    series INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (series, start_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX chunks_by_end ON chunks (end_ms);

-- Incidents, predictions and proposals: JSON with a version, found by kind and id.
CREATE TABLE documents (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- The audit chain. Append only: nothing in Halo updates or deletes here.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_append_only_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit chain is append only'); END;
CREATE TRIGGER audit_is_append_only_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit chain is append only'); END;

CREATE TABLE deploys (
    at_ms INTEGER NOT NULL,
    entity TEXT NOT NULL,
    version TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (at_ms, entity, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE edges (
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    PRIMARY KEY (caller, callee)
) STRICT, WITHOUT ROWID;

-- Small things: the log's checkpoint, the kill switch, thresholds.
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
