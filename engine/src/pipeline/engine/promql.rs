//! Questions in PromQL: which series are meant, their samples from the shards and the store, and the answer.
//!
//! What is stored is what was sent, so that is what is answered from; what Halo derives is left out. Memory, time and the number of
//! questions at once are bounded.

use super::{Engine, gone};
use crate::ingest::exemplar::Exemplar;
use crate::pipeline::message::ShardMessage;
use crate::promql::{Answer, Fetched, FetchedSeries, LabelSet, Query, QueryError, Selector, Steps, labels_of_series};
use crate::series::{Metadata, SeriesInfo, SeriesKind, family_of};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use wire::{SeriesId, Timestamp};

/// Samples that one question may read into memory at most, 16 bytes each.
const MAX_FETCHED: usize = 5_000_000;

/// Questions answered at the same time; others wait.
pub(super) const AT_ONCE: usize = 4;

/// Ends of series that are remembered; beyond them the oldest go.
const MAX_ENDS: usize = 500_000;

/// A question.
#[derive(Clone, Debug)]
pub enum Question {
    Instant {
        query: Query,
        at: Timestamp,
    },
    Range {
        query: Query,
        steps: Steps,
    },
    /// Series that one of the selectors means; all of them without any.
    Series(Vec<Selector>),
    /// Types by metric or family.
    Metadata,
    /// Of the series that the query looks at.
    Exemplars {
        query: Query,
        from: Timestamp,
        to: Timestamp,
    },
}

/// What there is to say.
#[derive(Clone, Debug)]
pub enum Told {
    Answer(Answer),
    Series(Vec<LabelSet>),
    Metadata(BTreeMap<String, Metadata>),
    Exemplars(Vec<(LabelSet, Vec<Exemplar>)>),
}

/// When series ended, as their sources said. In memory: after a restart such a series is shown for five minutes more.
#[derive(Debug, Default)]
pub(super) struct Ends {
    of: BTreeMap<SeriesId, Vec<i64>>,
    count: usize,
}

impl Ends {
    fn add(&mut self, id: SeriesId, at: Timestamp) {
        let ends = self.of.entry(id).or_default();
        if let Err(place) = ends.binary_search(&at.0) {
            ends.insert(place, at.0);
            self.count += 1;
        }
        if self.count > MAX_ENDS {
            let mut all: Vec<i64> = self.of.values().flatten().copied().collect();
            all.sort_unstable();
            let oldest = all[all.len() / 2];
            self.of.retain(|_, ends| {
                ends.retain(|at| *at > oldest);
                !ends.is_empty()
            });
            self.count = self.of.values().map(Vec::len).sum();
        }
    }
}

impl Engine {
    /// Answers a question within `patience`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn ask(&self, question: Question, patience: Duration) -> Result<Told, QueryError> {
        let over = Arc::new(AtomicBool::new(false));
        let answer = async {
            let _turn = self.questions.acquire().await.map_err(|error| execution(&error))?;
            self.answer(question, Arc::clone(&over)).await
        };
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                // The thread that works on it looks here.
                over.store(true, Ordering::Relaxed);
                Err(QueryError::Timeout)
            }
        }
    }

    async fn answer(&self, question: Question, over: Arc<AtomicBool>) -> Result<Told, QueryError> {
        match question {
            Question::Instant { query, at } => {
                let fetched = self.fetch(&query.selectors(Steps::at(at))?).await?;
                evaluate(move || query.instant(at, &fetched, &|| over.load(Ordering::Relaxed))).await
            }
            Question::Range { query, steps } => {
                let fetched = self.fetch(&query.selectors(steps)?).await?;
                evaluate(move || query.range(steps, &fetched, &|| over.load(Ordering::Relaxed))).await
            }
            Question::Series(selectors) => {
                let is_meant = |info: &SeriesInfo| selectors.is_empty() || selectors.iter().any(|s| means(s, info));
                let found = self.registry.select(|info| is_told(info) && is_meant(info));
                let mut labels: Vec<_> = found.iter().map(|info| labels_of_series(info)).collect();
                labels.sort();
                Ok(Told::Series(labels))
            }
            Question::Metadata => Ok(Told::Metadata(self.registry.turn().await.types().clone())),
            Question::Exemplars { query, from, to } => {
                let mut told = BTreeMap::new();
                for selector in query.selectors(Steps::at(to))? {
                    for info in self.registry.select(|info| means(&selector, info)) {
                        let exemplars = self.exemplars(info.id, from, to);
                        if !exemplars.is_empty() {
                            told.insert(labels_of_series(&info), exemplars);
                        }
                    }
                }
                Ok(Told::Exemplars(told.into_iter().collect()))
            }
        }
    }

    async fn fetch(&self, selectors: &[Selector]) -> Result<Vec<Fetched>, QueryError> {
        let mut room = MAX_FETCHED;
        let mut fetched = Vec::new();
        for selector in selectors {
            let mut found = Vec::new();
            for info in self.by_labels(selector) {
                // What begins at `from` is not in the range.
                let samples = self.samples(info.id, selector.from + 1, selector.to).await?;
                room = room.checked_sub(samples.len()).ok_or_else(|| {
                    QueryError::Execution(format!(
                        "the query needs more than {MAX_FETCHED} samples: ask for fewer series or a shorter time"
                    ))
                })?;
                if !samples.is_empty() {
                    found.push(FetchedSeries {
                        labels: labels_of_series(&info),
                        samples,
                        ends: self.ends_of(&info),
                    });
                }
            }
            fetched.push(Fetched(found));
        }
        Ok(fetched)
    }

    /// The series that a selector means, in the order of their labels: sums of floats depend on it.
    fn by_labels(&self, selector: &Selector) -> Vec<Arc<SeriesInfo>> {
        let mut found = self.registry.select(|info| is_told(info) && means(selector, info));
        found.sort_by_cached_key(|info| labels_of_series(info));
        found
    }

    /// Everything that is kept of a series between two times.
    async fn samples(&self, id: SeriesId, from: Timestamp, to: Timestamp) -> Result<Vec<(i64, f64)>, QueryError> {
        let (reply, answer) = oneshot::channel();
        let slice = ShardMessage::Slice { id, from, to, reply };
        self.to_shard(self.shard_of(id), slice)
            .await
            .map_err(|error| execution(&error))?;
        // First what is in memory: what is sealed meanwhile is then in both.
        let slice = answer.await.map_err(|_| execution(&gone()))?;
        let mut samples = match slice {
            Some(slice) => slice.map_err(|error| execution(&error))?.samples,
            None => Vec::new(),
        };
        let chunks = self
            .store
            .chunks(id, from, to)
            .await
            .map_err(|error| execution(&error))?;
        for chunk in chunks {
            let stored = chunk.samples().map_err(|error| execution(&error))?;
            samples.extend(stored.into_iter().filter(|(at, _)| (from..=to).contains(at)));
        }
        samples.sort_by_key(|(at, _)| *at);
        samples.dedup_by_key(|(at, _)| *at);
        Ok(samples.into_iter().map(|(at, value)| (at.0, value)).collect())
    }

    /// Remembers what has ended.
    pub(super) fn remember_ends(&self, stale: &[(SeriesId, Timestamp)], families: &[(SeriesId, Timestamp)]) {
        if stale.is_empty() && families.is_empty() {
            return;
        }
        let families = families.iter().filter_map(|(member, at)| {
            let info = self.registry.get(*member)?;
            Some((family_of(&info), *at))
        });
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in stale.iter().copied().chain(families) {
            ends.add(id, at);
        }
    }

    fn ends_of(&self, info: &SeriesInfo) -> Vec<i64> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |id: SeriesId| ends.of.get(&id).into_iter().flatten().copied();
        let ids = BTreeSet::from([info.id, family_of(info)]);
        let mut found: Vec<i64> = ids.into_iter().flat_map(of).collect();
        found.sort_unstable();
        found
    }
}

async fn evaluate(work: impl FnOnce() -> Result<Answer, QueryError> + Send + 'static) -> Result<Told, QueryError> {
    // Work for a processor: not on a thread that others wait for.
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| execution(&error))?.map(Told::Answer)
}

/// Whether it was sent, and not derived by Halo.
fn is_told(info: &SeriesInfo) -> bool {
    info.kind != SeriesKind::Derived
}

fn means(selector: &Selector, info: &SeriesInfo) -> bool {
    selector.matches(|name| match name {
        "__name__" => info.metric.as_str(),
        name => info
            .labels
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value.as_str()),
    })
}

fn execution(error: &dyn std::fmt::Display) -> QueryError {
    QueryError::Execution(error.to_string())
}
