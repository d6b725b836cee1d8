//! What training needs of the store: some series of every class, their last 30 days, without what must not teach.
//!
//! Bounded whatever there is: at most [`SERIES_OF_CLASS`] series a class are kept, of each a few thousand rows at a place that
//! the seed chooses, and one series at a time is read whole.

use super::restore::{catalog, incident_masks};
use crate::context::{Context, ContextConfig};
use crate::detect::train::{History, HistorySeries, Progress};
use crate::error::{Error, Result};
use crate::features::rates;
use crate::series::{MetricClass, SeriesInfo, SeriesKind};
use crate::store::{Saved, Store};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeMap;
use wire::{SeriesId, Timestamp};

/// How far back models look.
const REACH_MS: i64 = 30 * 24 * 3600 * 1000;
/// Series of a class that are kept, and that are looked at to find them.
const SERIES_OF_CLASS: usize = 60;
const LOOKED_AT: usize = 300;

/// Reads the history that models may learn from at `now`: sealed samples of the last 30 days outside of incidents, false
/// alerts and maintenance; what fell into an event with a factor, divided by it. `progress` is called with the stage `read`.
///
/// # Errors
/// What the store says, and [`Error::Model`] when `progress` returned `false`.
pub async fn read_history(
    store: &dyn Store,
    config: &ContextConfig,
    now: Timestamp,
    seed: u64,
    progress: &mut (dyn FnMut(&Progress) -> bool + Send),
) -> Result<History> {
    let saved: Saved = store.load().await?;
    let mut context = Context::new(config);
    context.set_masks(incident_masks(&saved.incidents));
    let since = now - REACH_MS;
    let until = saved.sealed_until.values().copied().max().unwrap_or(now).min(now);
    let from = store.oldest(since).await?.unwrap_or(until).max(since).min(until);
    let split = History::split(from, until);
    let mut history = History {
        series: Vec::new(),
        from,
        split,
        until,
    };
    // What is judged, as it is judged: a counter by its rate, the buckets of a histogram not at all.
    let infos = saved.series.iter().map(|(info, _)| info.clone()).collect();
    let typed = catalog(&saved)?.admit(infos).infos;
    let known: BTreeMap<SeriesId, SeriesInfo> = typed.into_iter().map(|info| (info.id, info)).collect();
    for (done, class) in MetricClass::ALL.into_iter().enumerate() {
        let sealed = |id| saved.sealed_until.get(id).is_some_and(|end| *end >= split);
        let mut candidates: Vec<_> = known
            .values()
            .filter(|info| info.class == class && info.kind.is_judged() && sealed(&info.id))
            .collect();
        candidates.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed ^ done as u64));
        let enough = history.series.len() + SERIES_OF_CLASS;
        for info in candidates.into_iter().take(LOOKED_AT) {
            let go_on = progress(&Progress {
                stage: "read",
                step: history.series.len(),
                of: MetricClass::ALL.len() * SERIES_OF_CLASS,
                loss: None,
                held_back: None,
            });
            if !go_on {
                return Err(Error::Model {
                    name: "training".to_owned(),
                    message: "stopped on request; nothing was changed".to_owned(),
                });
            }
            let mut rows = Vec::new();
            for chunk in store.chunks(info.id, from, until).await? {
                rows.extend(chunk.samples()?);
            }
            rows.retain(|(at, value)| (from..=until).contains(at) && value.is_finite());
            rows.sort_by_key(|row| row.0);
            rows.dedup_by_key(|row| row.0);
            if info.kind == SeriesKind::Counter
                && let Some(rates) = rates(&rows, info.step_ms)
            {
                rows = rates;
            }
            let slot = context.add_series(info);
            let rows = context.learnable(slot, &rows);
            // Each series has its own numbers, whichever others there are.
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ info.id.0);
            history
                .series
                .extend(HistorySeries::cut(info.clone(), &rows, split, &mut rng));
            if history.series.len() == enough {
                break;
            }
        }
    }
    Ok(history)
}
