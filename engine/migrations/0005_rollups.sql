-- What the samples of each step (a minute, an hour) were together. A row covers the same samples as the chunk that it was made
-- of, or as several: a step at its edge may go on in the next row, and both parts are added when they are read.
CREATE TABLE rollups (
    series INTEGER NOT NULL,
    level_ms INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (series, level_ms, start_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_end ON rollups (level_ms, end_ms);

-- What is small is put together with its neighbours; these find it without reading what is not.
CREATE INDEX chunks_small ON chunks (series, end_ms, count) WHERE count < 4096;
CREATE INDEX rollups_small ON rollups (series, level_ms, end_ms, count) WHERE count < 1024;
