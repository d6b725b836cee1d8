//! Sealed history in the database: chunks, their rollups, and putting small ones together.

use super::{CHECKPOINT, SqliteStore, corrupt, series_id, set};
use crate::error::Result;
use crate::store::compact::{FULL_BUCKETS, FULL_SAMPLES, Merge, WORTH, merged_rollups, merged_samples};
use crate::store::history::SealedChunk;
use crate::store::log::Position;
use crate::store::rollup::{Extent, Level, RolledChunk, rolled};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::sync::Arc;
use wire::{SeriesId, Timestamp};

impl SqliteStore {
    pub(super) async fn seal_chunks(&self, chunks: &[SealedChunk], checkpoint: Option<Position>) -> Result<()> {
        // Before the transaction: others wait for the one writer.
        let mut rollups = Vec::with_capacity(chunks.len() * Level::ALL.len());
        for chunk in chunks {
            let samples = chunk.samples()?;
            for level in Level::ALL {
                let buckets = rolled(level, &samples);
                rollups.push(RolledChunk::new(
                    chunk.series,
                    level,
                    (chunk.start, chunk.end),
                    &buckets,
                ));
            }
        }
        let mut transaction = self.pool.begin().await?;
        for chunk in chunks {
            put_chunk(&mut transaction, chunk).await?;
        }
        for chunk in &rollups {
            put_rollup(&mut transaction, chunk).await?;
        }
        if let Some(position) = checkpoint {
            set(&mut transaction, CHECKPOINT, &position.0.to_string()).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn read_chunks(
        &self,
        series: SeriesId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<SealedChunk>> {
        let rows = sqlx::query("SELECT series, start_ms, end_ms, count, bytes FROM chunks WHERE series = ? AND start_ms <= ? AND end_ms >= ? ORDER BY start_ms")
            .bind(series.0.cast_signed())
            .bind(to.as_millis())
            .bind(from.as_millis())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(chunk).collect()
    }

    pub(super) async fn read_rollups(
        &self,
        series: SeriesId,
        level: Level,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<RolledChunk>> {
        let rows = sqlx::query("SELECT series, start_ms, end_ms, count, bytes FROM rollups WHERE series = ? AND level_ms = ? AND start_ms <= ? AND end_ms >= ? ORDER BY start_ms")
            .bind(series.0.cast_signed())
            .bind(level.step_ms())
            .bind(to.as_millis())
            .bind(from.as_millis())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| rollup(row, level)).collect()
    }

    pub(super) async fn read_extent(
        &self,
        series: SeriesId,
        level: Option<Level>,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Extent> {
        // Of a chunk that is only in part within the range, that part.
        let query = match level {
            None => sqlx::query(
                "SELECT CAST(COALESCE(SUM(CASE WHEN end_ms > start_ms THEN CAST(count AS REAL) * (MIN(end_ms, ?2) - MAX(start_ms, ?3)) / (end_ms - start_ms) ELSE count END), 0) + 0.5 AS INTEGER) AS count, MIN(start_ms) AS first_ms FROM chunks WHERE series = ?1 AND start_ms <= ?2 AND end_ms >= ?3",
            ),
            Some(_) => sqlx::query(
                "SELECT CAST(COALESCE(SUM(CASE WHEN end_ms > start_ms THEN CAST(count AS REAL) * (MIN(end_ms, ?2) - MAX(start_ms, ?3)) / (end_ms - start_ms) ELSE count END), 0) + 0.5 AS INTEGER) AS count, MIN(start_ms) AS first_ms FROM rollups WHERE series = ?1 AND start_ms <= ?2 AND end_ms >= ?3 AND level_ms = ?4",
            ),
        };
        let query = query
            .bind(series.0.cast_signed())
            .bind(to.as_millis())
            .bind(from.as_millis());
        let query = match level {
            None => query,
            Some(level) => query.bind(level.step_ms()),
        };
        let row = query.fetch_one(&self.pool).await?;
        let (count, first_ms): (i64, Option<i64>) = (row.try_get("count")?, row.try_get("first_ms")?);
        Ok(Extent {
            count: count.unsigned_abs(),
            first: first_ms.map(Timestamp),
        })
    }

    pub(super) async fn expire_rollups_of(&self, level: Level, before: Timestamp) -> Result<u64> {
        let done = sqlx::query("DELETE FROM rollups WHERE level_ms = ? AND end_ms < ?")
            .bind(level.step_ms())
            .bind(before.as_millis())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// See [`crate::store::Store::compact`].
    pub(super) async fn compact_small(&self, series: u32) -> Result<u64> {
        let rows = sqlx::query("SELECT series FROM chunks INDEXED BY chunks_small WHERE count < 4096 GROUP BY series HAVING COUNT(*) >= ? OR (COUNT(*) > 1 AND SUM(count) >= ?) LIMIT ?")
            .bind(WORTH as i64)
            .bind(i64::from(FULL_SAMPLES))
            .bind(series)
            .fetch_all(&self.pool)
            .await?;
        let mut chunks = Vec::new();
        for row in &rows {
            let id = series_id(row)?;
            let small = sqlx::query("SELECT series, start_ms, end_ms, count, bytes FROM chunks WHERE series = ? AND count < 4096 ORDER BY start_ms")
                .bind(id.0.cast_signed())
                .fetch_all(&self.pool)
                .await?;
            let small = small.iter().map(chunk).collect::<Result<Vec<_>>>()?;
            chunks.extend(readable(merged_samples(small)));
        }
        let mut rollups = Vec::new();
        for level in Level::ALL {
            let rows = sqlx::query("SELECT series FROM rollups INDEXED BY rollups_small WHERE count < 1024 AND level_ms = ? GROUP BY series HAVING COUNT(*) >= ? OR (COUNT(*) > 1 AND SUM(count) >= ?) LIMIT ?")
                .bind(level.step_ms())
                .bind(WORTH as i64)
                .bind(i64::from(FULL_BUCKETS))
                .bind(series)
                .fetch_all(&self.pool)
                .await?;
            for row in &rows {
                let id = series_id(row)?;
                let small = sqlx::query("SELECT series, start_ms, end_ms, count, bytes FROM rollups WHERE series = ? AND level_ms = ? AND count < 1024 ORDER BY start_ms")
                    .bind(id.0.cast_signed())
                    .bind(level.step_ms())
                    .fetch_all(&self.pool)
                    .await?;
                let small = small.iter().map(|row| rollup(row, level)).collect::<Result<Vec<_>>>()?;
                rollups.extend(readable(merged_rollups(small)));
            }
        }
        self.replace(&chunks, &rollups).await
    }

    /// Puts what is merged in the place of what it was made of: all of it in one commit, since each one waits for the disk.
    async fn replace(&self, chunks: &[Merge<SealedChunk>], rollups: &[Merge<RolledChunk>]) -> Result<u64> {
        if chunks.is_empty() && rollups.is_empty() {
            return Ok(0);
        }
        let mut gone = 0;
        let mut transaction = self.pool.begin().await?;
        for merge in chunks {
            for chunk in &merge.from {
                sqlx::query("DELETE FROM chunks WHERE series = ? AND start_ms = ?")
                    .bind(chunk.series.0.cast_signed())
                    .bind(chunk.start.as_millis())
                    .execute(&mut *transaction)
                    .await?;
            }
            put_chunk(&mut transaction, &merge.to).await?;
            gone += merge.from.len();
        }
        for merge in rollups {
            for chunk in &merge.from {
                sqlx::query("DELETE FROM rollups WHERE series = ? AND level_ms = ? AND start_ms = ?")
                    .bind(chunk.series.0.cast_signed())
                    .bind(chunk.level.step_ms())
                    .bind(chunk.start.as_millis())
                    .execute(&mut *transaction)
                    .await?;
            }
            put_rollup(&mut transaction, &merge.to).await?;
            gone += merge.from.len();
        }
        transaction.commit().await?;
        Ok(gone as u64)
    }
}

/// A series with a damaged chunk stays as it is, and keeps no other from being put together.
fn readable<C>(merges: Result<Vec<Merge<C>>>) -> Vec<Merge<C>> {
    merges.unwrap_or_else(|error| {
        tracing::warn!(%error, "small chunks of a series are not put together");
        Vec::new()
    })
}

async fn put_chunk(transaction: &mut Transaction<'_, Sqlite>, chunk: &SealedChunk) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO chunks (series, start_ms, end_ms, count, bytes) VALUES (?, ?, ?, ?, ?)")
        .bind(chunk.series.0.cast_signed())
        .bind(chunk.start.as_millis())
        .bind(chunk.end.as_millis())
        .bind(i64::from(chunk.count))
        .bind(&*chunk.bytes)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn put_rollup(transaction: &mut Transaction<'_, Sqlite>, chunk: &RolledChunk) -> Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO rollups (series, level_ms, start_ms, end_ms, count, bytes) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(chunk.series.0.cast_signed())
    .bind(chunk.level.step_ms())
    .bind(chunk.start.as_millis())
    .bind(chunk.end.as_millis())
    .bind(i64::from(chunk.count))
    .bind(&*chunk.bytes)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn chunk(row: &SqliteRow) -> Result<SealedChunk> {
    let series = series_id(row)?;
    Ok(SealedChunk {
        series,
        start: Timestamp(row.try_get("start_ms")?),
        end: Timestamp(row.try_get("end_ms")?),
        count: count(row, "chunks", series)?,
        bytes: bytes(row)?,
    })
}

fn rollup(row: &SqliteRow, level: Level) -> Result<RolledChunk> {
    let series = series_id(row)?;
    Ok(RolledChunk {
        series,
        level,
        start: Timestamp(row.try_get("start_ms")?),
        end: Timestamp(row.try_get("end_ms")?),
        count: count(row, "rollups", series)?,
        bytes: bytes(row)?,
    })
}

fn bytes(row: &SqliteRow) -> Result<Arc<[u8]>> {
    Ok(Arc::from(row.try_get::<&[u8], _>("bytes")?))
}

fn count(row: &SqliteRow, table: &str, series: SeriesId) -> Result<u32> {
    let count: i64 = row.try_get("count")?;
    u32::try_from(count).map_err(|_| corrupt(table, &series.to_string(), "count out of range"))
}
