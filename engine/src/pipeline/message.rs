//! What shards, coordinator and engine say to each other. Closed enums: every message is here.

use crate::correlate::Observation;
use crate::detect::Models;
use crate::error::Result;
use crate::features::Outlook;
use crate::ingest::Rejection;
use crate::predict::Limit;
use crate::quality::Silence;
use crate::series::{MetricClass, Sample, SeriesInfo};
use crate::store::history::SealedChunk;
use crate::view::{EntityTally, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::oneshot;
use wire::series::{Evidence, ForecastPoint, Health, SeriesSummary};
use wire::status::Provisional;
use wire::{EntityId, SeriesId, Timestamp};

/// To a shard.
#[derive(Debug)]
pub(crate) enum ShardMessage {
    /// Series it now owns, with the end of what the store holds of each.
    Add {
        source: Arc<str>,
        infos: Vec<(Arc<SeriesInfo>, Option<Timestamp>)>,
    },
    /// Samples that are already durable.
    Batch {
        source: Arc<str>,
        samples: Vec<Sample>,
        /// When they came; `None` for what has its own clock.
        arrived: Option<Timestamp>,
        reply: oneshot::Sender<Vec<Rejection>>,
    },
    /// The past of a series.
    Bootstrap { series: SeriesId, past: Past },
    /// The past of the members of one family, of which its derived series learn.
    BootstrapFamily { members: Vec<(SeriesId, Past)> },
    /// The kind of a series is another than was thought.
    Retype { info: Arc<SeriesInfo> },
    /// The source says that the series has ended.
    Ended { series: SeriesId },
    /// The source says that the histogram that this is a series of has ended.
    EndedFamily { member: SeriesId },
    /// A version went live.
    Deploy { entity: EntityId, at: Timestamp },
    /// Feedback moved a threshold.
    Threshold { class: MetricClass, threshold: f32 },
    /// Open incidents touch these entities and no others, unless what has a greater number said otherwise.
    Troubled {
        number: u64,
        entities: Arc<BTreeSet<EntityId>>,
    },
    /// Other models, from the next sample on.
    Models(Arc<Models>),
    /// How every entity stands, given each source's clock.
    Tally {
        clocks: Clocks,
        reply: oneshot::Sender<Tally>,
    },
    List {
        look: Look,
        reply: oneshot::Sender<Vec<SeriesSummary>>,
    },
    /// What the metric page shows beside the samples.
    About {
        id: SeriesId,
        clocks: Clocks,
        reply: oneshot::Sender<Option<About>>,
    },
    /// Samples and verdicts in memory between two times.
    Slice {
        id: SeriesId,
        from: Timestamp,
        to: Timestamp,
        reply: oneshot::Sender<Option<Result<Slice>>>,
    },
    /// Hands over what the store does not have yet, after sealing what is full (or everything); a part of the series at a
    /// time, so that samples need not wait for all of it. `from` is 0, or what the part before said.
    Seal {
        everything: bool,
        from: usize,
        reply: oneshot::Sender<Sealed>,
    },
    /// The store has these chunks, named by their end.
    Saved { ends: Vec<(SeriesId, Timestamp)> },
}

/// What the store does not have yet of a part of a shard's series.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    pub(crate) chunks: Vec<SealedChunk>,
    /// Where the next part begins; `None`: this was the last.
    pub(crate) next: Option<usize>,
}

/// Samples from before a start, oldest first, each once.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Came before `learn`, thinned out: seasons alone are learnt from it.
    pub(crate) older: Vec<(Timestamp, f64)>,
    /// To learn from.
    pub(crate) learn: Vec<(Timestamp, f64)>,
    /// The part of them that is not in the store, and must go into history.
    pub(crate) keep: Vec<(Timestamp, f64)>,
}

/// Each source's clock.
pub(crate) type Clocks = BTreeMap<Arc<str>, Timestamp>;

/// A series without its samples.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) summary: SeriesSummary,
    pub(crate) forecast: Vec<ForecastPoint>,
    /// Local time of the series less UTC, at its last sample.
    pub(crate) offset_ms: i64,
    pub(crate) limit: Option<f64>,
    pub(crate) threshold: f32,
    pub(crate) explanation: String,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) last_anomaly: Option<Evidence>,
    pub(crate) seen: u64,
    pub(crate) needed: u64,
}

/// Part of a series.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) samples: Vec<(Timestamp, f64)>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// From a shard to the coordinator.
#[derive(Debug)]
pub(crate) enum Observed {
    Samples {
        source: Arc<str>,
        newest: Option<Timestamp>,
        taken: u64,
        observations: Vec<Observation>,
        /// What became of provisional signals.
        provisional: Provisional,
    },
    /// Entities whose series of this shard are silent.
    Silent { shard: usize, silences: Vec<Silence> },
    Outlook {
        source: Arc<str>,
        info: Arc<SeriesInfo>,
        outlook: Box<Outlook>,
        limit: Limit,
    },
}

/// A shard's part of the totals.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) entities: BTreeMap<EntityId, EntityEntry>,
    pub(crate) series_by_source: BTreeMap<Arc<str>, u64>,
    pub(crate) warming: u64,
}

impl Tally {
    /// Adds another shard's part.
    pub(crate) fn merge(&mut self, other: Self) {
        for (id, entry) in other.entities {
            match self.entities.entry(id) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(entry);
                }
                std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().tally.merge(&entry.tally),
            }
        }
        for (source, series) in other.series_by_source {
            *self.series_by_source.entry(source).or_default() += series;
        }
        self.warming += other.warming;
    }
}

/// An entity and who reports it.
#[derive(Clone, Debug)]
pub(crate) struct EntityEntry {
    pub(crate) source: Arc<str>,
    pub(crate) tally: EntityTally,
}

/// A search over series.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Lower-case words; all must occur.
    pub(crate) words: Vec<String>,
    pub(crate) entity: Option<EntityId>,
    pub(crate) limit: usize,
    pub(crate) clocks: Clocks,
}

impl Look {
    pub(crate) fn matches(&self, info: &SeriesInfo) -> bool {
        if self.entity.as_ref().is_some_and(|e| *e != info.entity) {
            return false;
        }
        if self.words.is_empty() {
            return true;
        }
        let mut text = format!(
            "{} {} {}",
            info.entity,
            info.quantity(),
            info.statistic.as_deref().unwrap_or_default()
        );
        for (name, value) in &info.labels {
            text.push(' ');
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        let text = text.to_lowercase();
        self.words.iter().all(|word| text.contains(word))
    }

    /// Most anomalous first, then by name.
    pub(crate) fn rank(found: &mut [SeriesSummary]) {
        found.sort_by(|a, b| {
            let urgent = |s: &SeriesSummary| s.health == Health::Anomalous;
            (urgent(b), b.score)
                .partial_cmp(&(urgent(a), a.score))
                .unwrap_or(std::cmp::Ordering::Equal)
                .then_with(|| a.info.entity.cmp(&b.info.entity))
                .then_with(|| a.info.metric.cmp(&b.info.metric))
                .then_with(|| a.info.id.cmp(&b.info.id))
        });
    }
}

/// What the coordinator asks of the trainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelsOrder {
    Train,
    Revert,
}

/// How it went, for the record.
#[derive(Debug)]
pub(crate) enum ModelsOutcome {
    /// This version is in use from now on.
    InUse {
        version: String,
        models: Arc<Models>,
        summary: String,
    },
    /// The candidate was worse; nothing has changed.
    Kept { summary: String },
    /// Nothing has changed.
    Failed { message: String },
}
