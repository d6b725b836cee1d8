//! The embedded store: one SQLite file, write-ahead journal, one writer.

mod history;

use super::history::SealedChunk;
use super::log::Position;
use super::rollup::{Extent, Level, RolledChunk};
use super::{Change, Saved, Store};
use crate::correlate::Incident;
use crate::error::{Error, Result};
use crate::notify::{Parcel, Told};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row, Sqlite, SqlitePool, Transaction};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use wire::alert::{Alert, Silence};
use wire::prediction::Prediction;
use wire::proposal::Proposal;
use wire::topology::{ChangeKind, Deploy, Edge, EdgeDetail, EdgeSource};
use wire::{EntityId, SeriesId, Timestamp};

/// Version of the JSON of incidents, predictions and proposals. Older ones are converted on reading.
const DOCUMENT_VERSION: i64 = 1;

const CHECKPOINT: &str = "log_checkpoint";

/// Makes the file, before there are several connections: the switch to a write-ahead journal waits for no other one, whatever the
/// time-out, but fails at once as locked.
pub(super) async fn create(options: &SqliteConnectOptions) -> Result<()> {
    options.connect().await?.close().await?;
    Ok(())
}

/// At most so many connections, which stay open: a database in memory is its connection.
pub(super) async fn pool(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// See the module.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens or creates the database, and its folder, and brings it to this version's schema.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made, [`Error::Store`] if the file cannot be used, [`Error::Migration`] if it was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot create the data directory", folder, e))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit must outlive a power cut: log segments are removed because of what was committed here.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        create(&options).await?;
        Self::connect(options, 4).await
    }

    /// Opens a database that is there, to read it alone, also while a server writes to it.
    ///
    /// # Errors
    /// [`Error::Io`] if there is none, [`Error::Store`] if the file cannot be used.
    pub async fn open_to_read(path: &Path) -> Result<Self> {
        if let Err(error) = std::fs::metadata(path) {
            return Err(Error::io("there is no history to read", path, error));
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// A database that lives as long as the value: for back-tests and tests.
    ///
    /// # Errors
    /// [`Error::Store`] if memory is short.
    pub async fn in_memory() -> Result<Self> {
        Self::connect(SqliteConnectOptions::new().in_memory(true), 1).await
    }

    async fn connect(options: SqliteConnectOptions, connections: u32) -> Result<Self> {
        let pool = pool(options, connections).await?;
        sqlx::migrate!("./migrations").run(&pool).await?;
        Ok(Self { pool })
    }

    async fn documents<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>> {
        let rows = sqlx::query("SELECT id, version, body FROM documents WHERE kind = ? ORDER BY id")
            .bind(kind)
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                let version: i64 = row.try_get("version")?;
                let id: String = row.try_get("id")?;
                if version != DOCUMENT_VERSION {
                    return Err(corrupt(
                        kind,
                        &id,
                        &format!("version {version} is newer than this program"),
                    ));
                }
                parse(kind, &id, row.try_get("body")?)
            })
            .collect()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<Saved> {
        let mut saved = Saved {
            incidents: self.documents::<Incident>("incident").await?,
            predictions: self.documents::<Prediction>("prediction").await?,
            proposals: self.documents::<Proposal>("proposal").await?,
            alerts: self.documents::<Alert>("alert").await?,
            silences: self.documents::<Silence>("silence").await?,
            told: self.documents::<Told>("told").await?,
            parcels: self.documents::<Parcel>("parcel").await?,
            ..Saved::default()
        };
        for row in sqlx::query("SELECT id, source, info FROM series ORDER BY id")
            .fetch_all(&self.pool)
            .await?
        {
            let id: i64 = row.try_get("id")?;
            saved.series.push((
                parse("series", &id.to_string(), row.try_get("info")?)?,
                row.try_get("source")?,
            ));
        }
        saved.series.sort_by_key(|(info, _)| info.id);
        for row in sqlx::query("SELECT series, MAX(end_ms) AS end_ms FROM chunks GROUP BY series")
            .fetch_all(&self.pool)
            .await?
        {
            saved
                .sealed_until
                .insert(series_id(&row)?, Timestamp(row.try_get("end_ms")?));
        }
        for row in sqlx::query("SELECT seq, body FROM audit ORDER BY seq")
            .fetch_all(&self.pool)
            .await?
        {
            let seq: i64 = row.try_get("seq")?;
            saved
                .audit
                .push(parse("audit", &seq.to_string(), row.try_get("body")?)?);
        }
        for row in sqlx::query("SELECT * FROM deploys ORDER BY at_ms, entity, version")
            .fetch_all(&self.pool)
            .await?
        {
            saved.deploys.push(deploy(&row)?);
        }
        for row in sqlx::query("SELECT caller, callee, detail FROM edges ORDER BY caller, callee")
            .fetch_all(&self.pool)
            .await?
        {
            let edge = Edge {
                caller: EntityId(row.try_get("caller")?),
                callee: EntityId(row.try_get("callee")?),
            };
            let detail: Option<String> = row.try_get("detail")?;
            saved.edges.push(match detail {
                Some(text) => parse("edge", &format!("{} {}", edge.caller, edge.callee), text)?,
                // Of the time when there were declared ones alone.
                None => EdgeDetail {
                    edge,
                    kind: None,
                    sources: vec![EdgeSource::Declared],
                    calls: 0,
                    first_seen: Timestamp::default(),
                    last_seen: Timestamp::default(),
                },
            });
        }
        let mut settings: BTreeMap<String, String> = BTreeMap::new();
        for row in sqlx::query("SELECT key, value FROM settings")
            .fetch_all(&self.pool)
            .await?
        {
            settings.insert(row.try_get("key")?, row.try_get("value")?);
        }
        if let Some(value) = settings.remove(CHECKPOINT) {
            saved.checkpoint = Position(
                value
                    .parse()
                    .map_err(|_| corrupt("settings", CHECKPOINT, "not a number"))?,
            );
        }
        saved.settings = settings;
        Ok(saved)
    }

    async fn save(&self, changes: &[Change]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for change in changes {
            apply(&mut transaction, change).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn seal(&self, chunks: &[SealedChunk], checkpoint: Option<Position>) -> Result<()> {
        self.seal_chunks(chunks, checkpoint).await
    }

    async fn chunks(&self, series: SeriesId, from: Timestamp, to: Timestamp) -> Result<Vec<SealedChunk>> {
        self.read_chunks(series, from, to).await
    }

    async fn rollups(
        &self,
        series: SeriesId,
        level: Level,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<RolledChunk>> {
        self.read_rollups(series, level, from, to).await
    }

    async fn extent(&self, series: SeriesId, level: Option<Level>, from: Timestamp, to: Timestamp) -> Result<Extent> {
        self.read_extent(series, level, from, to).await
    }

    async fn expire_rollups(&self, level: Level, before: Timestamp) -> Result<u64> {
        self.expire_rollups_of(level, before).await
    }

    async fn compact(&self, series: u32) -> Result<u64> {
        self.compact_small(series).await
    }

    async fn oldest(&self, since: Timestamp) -> Result<Option<Timestamp>> {
        let row = sqlx::query("SELECT MIN(start_ms) AS start_ms FROM chunks WHERE end_ms >= ?")
            .bind(since.as_millis())
            .fetch_one(&self.pool)
            .await?;
        let start_ms: Option<i64> = row.try_get("start_ms")?;
        Ok(start_ms.map(Timestamp))
    }

    async fn expire(&self, before: Timestamp) -> Result<u64> {
        let done = sqlx::query("DELETE FROM chunks WHERE end_ms < ?")
            .bind(before.as_millis())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    async fn forget(&self, ids: &[String]) -> Result<()> {
        let mut transaction = self.pool.begin().await?;
        for id in ids {
            sqlx::query("DELETE FROM documents WHERE id = ?")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn apply(transaction: &mut Transaction<'_, Sqlite>, change: &Change) -> Result<()> {
    match change {
        Change::Series { info, source } => {
            sqlx::query("INSERT OR REPLACE INTO series (id, source, info) VALUES (?, ?, ?)")
                .bind(info.id.0.cast_signed())
                .bind(source)
                .bind(json(info))
                .execute(&mut **transaction)
                .await?;
        }
        Change::Incident(incident) => document(transaction, "incident", incident.id.as_str(), &json(incident)).await?,
        Change::Prediction(prediction) => {
            document(transaction, "prediction", prediction.id.as_str(), &json(prediction)).await?
        }
        Change::Proposal(proposal) => document(transaction, "proposal", proposal.id.as_str(), &json(proposal)).await?,
        Change::Audit(entry) => {
            sqlx::query("INSERT INTO audit (seq, body) VALUES (?, ?)")
                .bind(entry.seq.cast_signed())
                .bind(json(entry))
                .execute(&mut **transaction)
                .await?;
        }
        Change::Deploy(deploy) => {
            sqlx::query("INSERT OR REPLACE INTO deploys (at_ms, entity, version, note, kind, source, change_id, tags, until_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .bind(deploy.at.as_millis())
                .bind(deploy.entity.as_str())
                .bind(&deploy.version)
                .bind(&deploy.note)
                .bind(deploy.kind.as_str())
                .bind(&deploy.source)
                .bind(&deploy.id)
                .bind(json(&deploy.tags))
                .bind(deploy.until.map(Timestamp::as_millis))
                .execute(&mut **transaction)
                .await?;
        }
        Change::Edge(detail) => {
            sqlx::query("INSERT OR REPLACE INTO edges (caller, callee, detail) VALUES (?, ?, ?)")
                .bind(detail.edge.caller.as_str())
                .bind(detail.edge.callee.as_str())
                .bind(json(detail))
                .execute(&mut **transaction)
                .await?;
        }
        Change::Alert(alert) => document(transaction, "alert", &alert.fingerprint, &json(alert)).await?,
        Change::Silence(silence) => document(transaction, "silence", &silence.id, &json(silence)).await?,
        Change::Told(told) => document(transaction, "told", &told.key(), &json(told)).await?,
        Change::Parcel(parcel) => document(transaction, "parcel", parcel.delivery.id.as_str(), &json(parcel)).await?,
        Change::Setting { key, value } => set(transaction, key, value).await?,
    }
    Ok(())
}

async fn document(transaction: &mut Transaction<'_, Sqlite>, kind: &str, id: &str, body: &str) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO documents (kind, id, version, body) VALUES (?, ?, ?, ?)")
        .bind(kind)
        .bind(id)
        .bind(DOCUMENT_VERSION)
        .bind(body)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn set(transaction: &mut Transaction<'_, Sqlite>, key: &str, value: &str) -> Result<()> {
    sqlx::query("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)")
        .bind(key)
        .bind(value)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn deploy(row: &SqliteRow) -> Result<Deploy> {
    let version: String = row.try_get("version")?;
    let kind: String = row.try_get("kind")?;
    let until_ms: Option<i64> = row.try_get("until_ms")?;
    Ok(Deploy {
        at: Timestamp(row.try_get("at_ms")?),
        entity: EntityId(row.try_get("entity")?),
        note: row.try_get("note")?,
        // A name that a newer version wrote is read as another kind.
        kind: serde_json::from_value(kind.into()).unwrap_or(ChangeKind::Other),
        source: row.try_get("source")?,
        id: row.try_get("change_id")?,
        tags: parse("deploy", &version, row.try_get("tags")?)?,
        until: until_ms.map(Timestamp),
        version,
    })
}

fn series_id(row: &SqliteRow) -> Result<SeriesId> {
    let id: i64 = row.try_get("series")?;
    Ok(SeriesId(id.cast_unsigned()))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data always serializes")
}

fn parse<T: DeserializeOwned>(kind: &str, id: &str, body: String) -> Result<T> {
    serde_json::from_str(&body).map_err(|e| corrupt(kind, id, &e.to_string()))
}

fn corrupt(kind: &str, id: &str, message: &str) -> Error {
    Error::Corrupt {
        place: format!("the store's {kind} {id}"),
        message: message.to_owned(),
    }
}
