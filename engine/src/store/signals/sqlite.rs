//! Logs and spans in an SQLite file of their own.
//!
//! A write is a transaction over many requests, of statements with many rows. What was acknowledged outlives the process; the
//! last moments before a power cut may be lost, which for lines and spans buys several times the speed.

use super::{Keep, Retention, SignalStore, weight_of_log, weight_of_span};
use crate::error::{Error, Result};
use crate::ingest::signal::{Signal, Signals};
use crate::store::sqlite::{create, pool};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool, Transaction};
use std::path::Path;
use std::time::Duration;
use wire::Timestamp;
use wire::signal::{LogRecord, Page, SignalFilter, SpanRecord};

/// Rows of one statement.
const ROWS: usize = 500;

/// Records forgotten in one transaction.
const TRIMMED: i64 = 5000;

/// What is too much is trimmed to this share of the limit, so that it is not done for every record.
const TRIM_TO: f64 = 0.9;

/// Records of a page unless the filter says otherwise, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

/// See the module.
#[derive(Clone, Debug)]
pub struct SqliteSignals {
    pool: SqlitePool,
}

impl SqliteSignals {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be used, [`Error::Migration`] if it was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10));
        create(&options).await?;
        Self::connect(options, 3).await
    }

    /// Records that live as long as the value.
    ///
    /// # Errors
    /// [`Error::Store`] if memory is short.
    pub async fn in_memory() -> Result<Self> {
        Self::connect(SqliteConnectOptions::new().in_memory(true), 1).await
    }

    async fn connect(options: SqliteConnectOptions, connections: u32) -> Result<Self> {
        let pool = pool(options, connections).await?;
        sqlx::migrate!("./migrations-signals").run(&pool).await?;
        Ok(Self { pool })
    }

    async fn trim_kind(&self, kind: Kind, keep: Keep, now: Timestamp) -> Result<u64> {
        let before = now.as_millis().saturating_sub(keep.age_ms);
        let old = format!(
            "DELETE FROM {0} WHERE id IN (SELECT id FROM {0} WHERE at_ms < ? LIMIT ?)",
            kind.table()
        );
        let mut gone = 0;
        loop {
            let done = sqlx::query(sqlx::AssertSqlSafe(old.clone()))
                .bind(before)
                .bind(TRIMMED)
                .execute(&self.pool)
                .await?;
            gone += done.rows_affected();
            if done.rows_affected() == 0 {
                break;
            }
        }
        let mut limit = keep.bytes as f64;
        let excess = format!(
            "DELETE FROM {0} WHERE id IN (SELECT id FROM {0} ORDER BY id LIMIT ?)",
            kind.table()
        );
        loop {
            let kept: i64 = sqlx::query("SELECT bytes FROM kept WHERE kind = ?")
                .bind(kind.table())
                .fetch_one(&self.pool)
                .await?
                .try_get("bytes")?;
            if kept as f64 <= limit {
                break;
            }
            limit = keep.bytes as f64 * TRIM_TO;
            let average = kept as f64 / self.count(kind).await?.max(1) as f64;
            let share = ((kept as f64 - limit) / average.max(1.0)).ceil() as i64;
            let done = sqlx::query(sqlx::AssertSqlSafe(excess.clone()))
                .bind(share.clamp(1, TRIMMED))
                .execute(&self.pool)
                .await?;
            gone += done.rows_affected();
            if done.rows_affected() == 0 {
                break;
            }
        }
        Ok(gone)
    }

    /// About how many records there are: ids are given in order, and the oldest go first.
    async fn count(&self, kind: Kind) -> Result<i64> {
        let span = format!("SELECT COALESCE(MAX(id) - MIN(id) + 1, 0) AS n FROM {}", kind.table());
        let row = sqlx::query(sqlx::AssertSqlSafe(span)).fetch_one(&self.pool).await?;
        Ok(row.try_get("n")?)
    }

    async fn page<T>(
        &self,
        kind: Kind,
        filter: &SignalFilter,
        read: impl Fn(&SqliteRow) -> Result<T>,
    ) -> Result<Page<T>> {
        let limit = filter.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT) as usize;
        let mut query = select(kind, filter)?;
        query
            .push(" ORDER BY at_ms DESC, id DESC LIMIT ")
            .push_bind(limit as i64 + 1);
        let rows = query.build().fetch_all(&self.pool).await?;
        let next = match rows.get(limit) {
            Some(_) => {
                let last = &rows[limit - 1];
                let (at_ms, id): (i64, i64) = (last.try_get("at_ms")?, last.try_get("id")?);
                Some(format!("{at_ms}.{id}"))
            }
            None => None,
        };
        let records: Result<Vec<T>> = rows.iter().take(limit).map(read).collect();
        Ok(Page {
            records: records?,
            next,
        })
    }
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Logs,
    Spans,
}

impl Kind {
    const fn table(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
        }
    }

    /// Columns that are searched.
    const fn texts(self) -> &'static [&'static str] {
        match self {
            Self::Logs => &["text"],
            Self::Spans => &["name", "message"],
        }
    }
}

#[async_trait]
impl SignalStore for SqliteSignals {
    async fn keep(&self, requests: &[&Signals]) -> Result<Vec<u64>> {
        let mut transaction = self.pool.begin().await?;
        let mut duplicates = Vec::with_capacity(requests.len());
        for request in requests {
            let mut added = 0;
            for logs in request.logs.chunks(ROWS) {
                added += insert_logs(&mut transaction, logs).await?;
            }
            for spans in request.spans.chunks(ROWS) {
                added += insert_spans(&mut transaction, spans).await?;
            }
            duplicates.push((request.logs.len() + request.spans.len()) as u64 - added);
        }
        transaction.commit().await?;
        Ok(duplicates)
    }

    async fn logs(&self, filter: &SignalFilter) -> Result<Page<LogRecord>> {
        self.page(Kind::Logs, filter, |row| {
            let severity: i64 = row.try_get("severity")?;
            Ok(LogRecord {
                at: Timestamp(row.try_get("at_ms")?),
                service: row.try_get("service")?,
                severity: u8::try_from(severity).unwrap_or_default(),
                text: row.try_get("text")?,
                attributes: parse(row, "attributes")?,
                trace_id: row.try_get("trace_id")?,
                span_id: row.try_get("span_id")?,
            })
        })
        .await
    }

    async fn spans(&self, filter: &SignalFilter) -> Result<Page<SpanRecord>> {
        self.page(Kind::Spans, filter, |row| {
            let duration_us: i64 = row.try_get("duration_us")?;
            Ok(SpanRecord {
                at: Timestamp(row.try_get("at_ms")?),
                duration_us: duration_us.cast_unsigned(),
                service: row.try_get("service")?,
                name: row.try_get("name")?,
                kind: parse(row, "kind")?,
                status: parse(row, "status")?,
                message: row.try_get("message")?,
                attributes: parse(row, "attributes")?,
                trace_id: row.try_get("trace_id")?,
                span_id: row.try_get("span_id")?,
                parent_id: row.try_get("parent_id")?,
            })
        })
        .await
    }

    async fn trim(&self, retention: &Retention, now: Timestamp) -> Result<u64> {
        let mut gone = self.trim_kind(Kind::Logs, retention.logs, now).await?;
        gone += self.trim_kind(Kind::Spans, retention.spans, now).await?;
        if gone > 0 {
            // Gives the space back to the file system, as far as it lies at the end.
            sqlx::query("PRAGMA incremental_vacuum(4096)")
                .execute(&self.pool)
                .await?;
        }
        Ok(gone)
    }
}

/// Rows added; the others were there.
async fn insert_logs(transaction: &mut Transaction<'_, Sqlite>, logs: &[Signal<LogRecord>]) -> Result<u64> {
    let mut insert = QueryBuilder::new(
        "INSERT OR IGNORE INTO logs (digest, at_ms, service, severity, text, attributes, trace_id, span_id, bytes) ",
    );
    insert.push_values(logs, |mut row, log| {
        let record = &log.record;
        row.push_bind(log.digest.cast_signed())
            .push_bind(record.at.as_millis())
            .push_bind(record.service.as_str())
            .push_bind(i64::from(record.severity))
            .push_bind(record.text.as_str())
            .push_bind(json(&record.attributes))
            .push_bind(record.trace_id.as_str())
            .push_bind(record.span_id.as_str())
            .push_bind(weight_of_log(log) as i64);
    });
    Ok(insert.build().execute(&mut **transaction).await?.rows_affected())
}

/// Rows added; the others were there.
async fn insert_spans(transaction: &mut Transaction<'_, Sqlite>, spans: &[Signal<SpanRecord>]) -> Result<u64> {
    let mut insert = QueryBuilder::new(
        "INSERT OR IGNORE INTO spans (digest, at_ms, duration_us, service, name, kind, status, message, attributes, trace_id, \
         span_id, parent_id, bytes) ",
    );
    insert.push_values(spans, |mut row, span| {
        let record = &span.record;
        row.push_bind(span.digest.cast_signed())
            .push_bind(record.at.as_millis())
            .push_bind(record.duration_us.cast_signed())
            .push_bind(record.service.as_str())
            .push_bind(record.name.as_str())
            .push_bind(json(&record.kind))
            .push_bind(json(&record.status))
            .push_bind(record.message.as_str())
            .push_bind(json(&record.attributes))
            .push_bind(record.trace_id.as_str())
            .push_bind(record.span_id.as_str())
            .push_bind(record.parent_id.as_str())
            .push_bind(weight_of_span(span) as i64);
    });
    Ok(insert.build().execute(&mut **transaction).await?.rows_affected())
}

fn select(kind: Kind, filter: &SignalFilter) -> Result<QueryBuilder<Sqlite>> {
    let mut query = QueryBuilder::new(format!("SELECT * FROM {} WHERE TRUE", kind.table()));
    for word in filter.search.split_whitespace() {
        let pattern = format!(
            "%{}%",
            word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
        );
        for (at, column) in kind.texts().iter().enumerate() {
            query.push(if at == 0 { " AND (" } else { " OR " });
            query.push(format!("{column} LIKE ")).push_bind(pattern.clone());
            query.push(" ESCAPE '\\'");
        }
        query.push(")");
    }
    if let Some(service) = &filter.service {
        query.push(" AND service = ").push_bind(service.clone());
    }
    if let Some(trace) = &filter.trace_id {
        // Said so for the sake of the index.
        query
            .push(" AND trace_id <> '' AND trace_id = ")
            .push_bind(trace.to_ascii_lowercase());
    }
    if let Some(from) = filter.from {
        query.push(" AND at_ms >= ").push_bind(from.as_millis());
    }
    if let Some(to) = filter.to {
        query.push(" AND at_ms <= ").push_bind(to.as_millis());
    }
    match (filter.min_severity, kind) {
        (Some(severity), Kind::Logs) => {
            query.push(" AND severity >= ").push_bind(i64::from(severity));
        }
        (Some(17..), Kind::Spans) => {
            query
                .push(" AND status = ")
                .push_bind(json(&wire::signal::SpanStatus::Error));
        }
        _ => {}
    }
    if let Some(page) = &filter.page {
        let place = page.split_once('.');
        let place = place.and_then(|(at, id)| Some((at.parse::<i64>().ok()?, id.parse::<i64>().ok()?)));
        let Some((at_ms, id)) = place else {
            return Err(Error::Input {
                place: "page".to_owned(),
                message: format!("{page:?} is not the `next` of an answer; leave it out for the first page"),
            });
        };
        query.push(" AND (at_ms, id) < (").push_bind(at_ms);
        query.push(", ").push_bind(id).push(")");
    }
    Ok(query)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data always serializes")
}

fn parse<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| Error::Corrupt {
        place: format!("the column {column} of a kept record"),
        message: error.to_string(),
    })
}
